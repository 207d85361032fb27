{{/* "true" if the chart runs this server itself. Argument: dict "root" $ "dev" KEY-BELOW-dev. */}}
{{- define "gomatch.devServer" -}}
{{- if and .root.Values.dev.enabled (index .root.Values.dev .dev).enabled }}true{{ end -}}
{{- end -}}

{{/*
A server as every program reaches it: url, port, secret, caConfigMap. `postgres`, `rabbitmq` and
`redis` name the folders below /etc/gomatch/credentials and /etc/gomatch/ca. Matchers and all without
a Secret of their own use existingSecret.
Argument: dict "root" $ "server" NAME, and by choice "user" api|operator|migrations.
*/}}
{{- define "gomatch.server" -}}
{{- $key := get (dict "postgres" "postgresql" "rabbitmq" "rabbitmq" "redis" "redis") .server -}}
{{- $values := index .root.Values $key -}}
{{- $at := include "gomatch.serverAddress" (dict "root" .root "values" $key
    "dev" (get (dict "postgres" "postgresql" "rabbitmq" "rabbitmq" "redis" "valkey") .server)) | fromYaml -}}
{{- $own := get $values (printf "%sSecret" (.user | default "existing")) -}}
{{- toYaml (dict "url" (include (printf "gomatch.url.%s" .server) (dict "values" $values "at" $at))
  "host" $at.host "port" $at.port "secret" ($own | default $at.secret) "caConfigMap" $values.caConfigMap) -}}
{{- end -}}

{{- define "gomatch.url.postgres" -}}
{{- $mode := .values.sslMode | default (ternary "disable" "verify-full" (eq .at.dev "true")) -}}
{{- $ca := ternary "&sslrootcert=/etc/gomatch/ca/postgres/ca.crt" "" (ne .values.caConfigMap "") -}}
{{- printf "postgresql://%s:%v/%s?sslmode=%s%s" .at.host .at.port .values.database $mode $ca -}}
{{- end -}}

{{- define "gomatch.url.rabbitmq" -}}
{{- $ca := ternary "?cafile=/etc/gomatch/ca/rabbitmq/ca.crt" "" (and .values.tls (ne .values.caConfigMap "")) -}}
{{- printf "%s://%s:%v/%s%s" (ternary "amqps" "amqp" .values.tls) .at.host .at.port (.values.vhost | urlquery) $ca -}}
{{- end -}}

{{- define "gomatch.url.redis" -}}
{{- $ca := ternary "?ssl_ca_certs=/etc/gomatch/ca/redis/ca.crt" "" (and .values.tls (ne .values.caConfigMap "")) -}}
{{- printf "%s://%s:%v/%v%s" (ternary "rediss" "redis" .values.tls) .at.host .at.port (int64 .values.database) $ca -}}
{{- end -}}

{{/* The URL of RabbitMQ's management API. */}}
{{- define "gomatch.managementUrl" -}}
{{- $broker := include "gomatch.server" (dict "root" . "server" "rabbitmq") | fromYaml -}}
{{- $management := .Values.rabbitmq.management -}}
{{- printf "%s://%s:%v" (ternary "https" "http" $management.tls) ($management.host | default $broker.host) $management.port -}}
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
