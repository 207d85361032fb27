{{/* What the restricted Pod Security Standard asks of a pod. */}}
{{- define "gomatch.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ int64 . }}
runAsGroup: {{ int64 . }}
fsGroup: {{ int64 . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* And of a container; more than that, the root file system is read-only. */}}
{{- define "gomatch.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop:
    - ALL
{{- end -}}

{{/* Where a pod may run. Argument: a map with nodeSelector, tolerations, affinity, priorityClassName. */}}
{{- define "gomatch.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Spreads a component over nodes, or as the values say. Argument: dict "root" $ "component" COMPONENT. */}}
{{- define "gomatch.topologySpread" -}}
topologySpreadConstraints:
{{- with (index .root.Values .component).topologySpreadConstraints }}
  {{- toYaml . | nindent 2 }}
{{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "gomatch.selectorLabels" . | nindent 8 }}
    matchLabelKeys:
      - pod-template-hash
{{- end }}
{{- end -}}

{{/* Variables from a map of name to value, sorted by name. */}}
{{- define "gomatch.variables" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/*
Credentials and CAs as files. A volume is made for each server that is named.
Argument: dict "root" $ "servers" (list "postgres" "rabbitmq" "redis") "user" api|operator|migrations.
*/}}
{{- define "gomatch.serverVolumes" -}}
{{- $given := . -}}
{{- range .servers }}
{{- $server := include "gomatch.server" (dict "root" $given.root "server" . "user" $given.user) | fromYaml }}
- name: credentials-{{ . }}
  secret:
    secretName: {{ $server.secret | quote }}
    defaultMode: 0440
{{- if $server.caConfigMap }}
- name: ca-{{ . }}
  configMap:
    name: {{ $server.caConfigMap | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "gomatch.serverVolumeMounts" -}}
{{- $given := . -}}
{{- range .servers }}
{{- $server := include "gomatch.server" (dict "root" $given.root "server" . "user" $given.user) | fromYaml }}
- name: credentials-{{ . }}
  mountPath: /etc/gomatch/credentials/{{ . }}
  readOnly: true
{{- if $server.caConfigMap }}
- name: ca-{{ . }}
  mountPath: /etc/gomatch/ca/{{ . }}
  readOnly: true
{{- end }}
{{- end }}
{{- end -}}
