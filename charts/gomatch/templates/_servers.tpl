{{/* "true" if the chart runs this server itself. Argument: dict "root" $ "dev" KEY-BELOW-dev. */}}
{{- define "gomatch.devServer" -}}
{{- if and .root.Values.dev.enabled (index .root.Values.dev .dev).enabled }}true{{ end -}}
{{- end -}}

{{/*
A server as every program reaches it: url, host, port, secret, caConfigMap, folder. `postgres`,
`rabbitmq` and `redis` name the folders below /etc/gomatch/credentials and /etc/gomatch/ca;
`management` is RabbitMQ's HTTP API. Argument: dict "root" $ "server" NAME.
*/}}
{{- define "gomatch.server" -}}
{{- include (printf "gomatch.server.%s" .server) .root -}}
{{- end -}}

{{- define "gomatch.server.postgres" -}}
{{- $at := include "gomatch.serverAddress" (dict "root" . "values" "postgresql" "dev" "postgresql") | fromYaml -}}
{{- $query := printf "sslmode=%s" (.Values.postgresql.sslMode | default (ternary "disable" "verify-full" (eq $at.dev "true"))) -}}
{{- with .Values.postgresql.caConfigMap -}}
{{- $query = printf "%s&sslrootcert=/etc/gomatch/ca/postgres/ca.crt" $query -}}
{{- end -}}
{{- toYaml (dict "url" (printf "postgresql://%s:%v/%s?%s" $at.host $at.port (.Values.postgresql.database | urlquery) $query)
  "host" $at.host "port" $at.port "secret" $at.secret "caConfigMap" .Values.postgresql.caConfigMap "folder" "postgres") -}}
{{- end -}}

{{- define "gomatch.server.rabbitmq" -}}
{{- $at := include "gomatch.serverAddress" (dict "root" . "values" "rabbitmq" "dev" "rabbitmq") | fromYaml -}}
{{- $url := printf "%s://%s:%v/%s" (ternary "amqps" "amqp" .Values.rabbitmq.tls) $at.host $at.port (.Values.rabbitmq.vhost | urlquery) -}}
{{- with .Values.rabbitmq.caConfigMap -}}
{{- $url = printf "%s?cafile=/etc/gomatch/ca/rabbitmq/ca.crt" $url -}}
{{- end -}}
{{- toYaml (dict "url" $url "host" $at.host "port" $at.port "secret" $at.secret "caConfigMap" .Values.rabbitmq.caConfigMap "folder" "rabbitmq") -}}
{{- end -}}

{{/* The user of the management API may be another than the one of AMQP; the CA is the broker's. */}}
{{- define "gomatch.server.management" -}}
{{- $broker := include "gomatch.server.rabbitmq" . | fromYaml -}}
{{- $management := .Values.rabbitmq.management -}}
{{- $host := $management.host | default $broker.host -}}
{{- toYaml (dict "url" (printf "%s://%s:%v" (ternary "https" "http" $management.tls) $host $management.port)
  "host" $host "port" $management.port "secret" ($management.existingSecret | default $broker.secret)
  "caConfigMap" $broker.caConfigMap "folder" "rabbitmq") -}}
{{- end -}}

{{- define "gomatch.server.redis" -}}
{{- $at := include "gomatch.serverAddress" (dict "root" . "values" "redis" "dev" "valkey") | fromYaml -}}
{{- $url := printf "%s://%s:%v/%v" (ternary "rediss" "redis" .Values.redis.tls) $at.host $at.port .Values.redis.database -}}
{{- with .Values.redis.caConfigMap -}}
{{- $url = printf "%s?ssl_ca_certs=/etc/gomatch/ca/redis/ca.crt" $url -}}
{{- end -}}
{{- toYaml (dict "url" $url "host" $at.host "port" $at.port "secret" $at.secret "caConfigMap" .Values.redis.caConfigMap "folder" "redis") -}}
{{- end -}}

{{/*
host, port, secret, and dev: "true" or "". Fails with what is missing.
Argument: dict "root" $ "values" KEY "dev" KEY-BELOW-dev.
*/}}
{{- define "gomatch.serverAddress" -}}
{{- $values := index .root.Values .values -}}
{{- $dev := include "gomatch.devServer" . -}}
{{- $own := printf "%s-%s" (include "gomatch.fullname" .root) .dev -}}
{{- if and $dev $values.host -}}
{{- fail (printf "%s.host is given, so the chart must not run a server of its own: set dev.%s.enabled to false" .values .dev) -}}
{{- end -}}
{{- if not (or $dev $values.host) -}}
{{- fail (printf "%s.host is missing: say where the server is, or set dev.enabled to try gomatch out" .values) -}}
{{- end -}}
{{- if not (or $dev $values.existingSecret) -}}
{{- fail (printf "%s.existingSecret is missing: the name of a Secret with username and password in each namespace with Markets and in this one" .values) -}}
{{- end -}}
{{- toYaml (dict "host" (ternary (printf "%s.%s.svc" $own .root.Release.Namespace) $values.host (eq $dev "true"))
  "port" $values.port "secret" ($values.existingSecret | default $own) "dev" $dev) -}}
{{- end -}}
