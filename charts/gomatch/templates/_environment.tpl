{{/* Variables of everything that reaches PostgreSQL: a map as YAML. */}}
{{- define "gomatch.storeVariables" -}}
GOMATCH_POSTGRES_URL: {{ (include "gomatch.server" (dict "root" . "server" "postgres") | fromYaml).url | quote }}
GOMATCH_POSTGRES_CREDENTIALS: /etc/gomatch/credentials/postgres
GOMATCH_LOG_LEVEL: {{ .Values.logLevel | quote }}
{{- end -}}

{{/* Variables of the API: a map as YAML. Those of the values are laid over the chart's. */}}
{{- define "gomatch.apiVariables" -}}
{{- $ours := dict
  "GOMATCH_AMQP_URL" (include "gomatch.server" (dict "root" . "server" "rabbitmq") | fromYaml).url
  "GOMATCH_AMQP_CREDENTIALS" "/etc/gomatch/credentials/rabbitmq"
  "GOMATCH_SERVER_KEY_FILE" "/etc/gomatch/credentials/server/key"
  "GOMATCH_CALLBACK_TOKEN_FILE" "/etc/gomatch/credentials/callback/token"
  "GOMATCH_QUEUE_LENGTH" "0"
  "GOMATCH_BACKLOG_LIMIT" (.Values.backlogLimit | int64 | toString)
  "GOMATCH_API_HOST" "0.0.0.0"
  "GOMATCH_API_PORT" "8080"
  "GOMATCH_CALLBACK_HOST" "0.0.0.0"
  "GOMATCH_CALLBACK_PORT" "8081"
  "GOMATCH_SHUTDOWN_DELAY" (.Values.api.shutdownDelaySeconds | toString) -}}
{{- $store := include "gomatch.storeVariables" . | fromYaml -}}
{{- toYaml (mergeOverwrite $store $ours (deepCopy .Values.api.environment)) -}}
{{- end -}}

{{- define "gomatch.podNameVariable" -}}
- name: GOMATCH_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end -}}
