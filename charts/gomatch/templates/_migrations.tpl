{{/* The init container that brings the schema up to date. Argument: dict "root" $ "image" IMAGE. */}}
{{- define "gomatch.migrations" -}}
initContainers:
  - name: migrations
    image: {{ include "gomatch.image" . | quote }}
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
      - name: credentials-migrations
        mountPath: /etc/gomatch/credentials/postgres
        readOnly: true
      {{- if .root.Values.postgresql.caConfigMap }}
      - name: ca-postgres
        mountPath: /etc/gomatch/ca/postgres
        readOnly: true
      {{- end }}
{{- end -}}

{{/* What it mounts beside the pod's own volumes. */}}
{{- define "gomatch.migrationsVolume" -}}
{{- if .Values.migrations.enabled -}}
- name: credentials-migrations
  secret:
    secretName: {{ (include "gomatch.server" (dict "root" . "server" "postgres" "user" "migrations") | fromYaml).secret | quote }}
    defaultMode: 0440
{{- end -}}
{{- end -}}
