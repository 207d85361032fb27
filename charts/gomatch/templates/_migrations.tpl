{{/* The init container that brings the schema up to date. Argument: dict "root" $ "image" IMAGE. */}}
{{- define "gomatch.migrations" -}}
initContainers:
  - name: migrations
    image: {{ include "gomatch.image" . }}
    imagePullPolicy: {{ .image.pullPolicy }}
    command:
      - python
      - -m
      - gomatch.cli
      - migrate
      - --wait
      - {{ .root.Values.migrations.waitSeconds | quote }}
    env:
      {{- include "gomatch.variables" (include "gomatch.storeVariables" .root | fromYaml) | nindent 6 }}
    securityContext:
      {{- include "gomatch.containerSecurityContext" . | nindent 6 }}
    resources:
      {{- toYaml .root.Values.migrations.resources | nindent 6 }}
    volumeMounts:
      {{- include "gomatch.serverVolumeMounts" (dict "root" .root "servers" (list "postgres")) | nindent 6 }}
{{- end -}}
