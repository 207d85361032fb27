{{/*
Shortens a name to `limit` characters. What was cut is told apart by a hash, so that two long names
never become the same one. Argument: dict "name" NAME "limit" LIMIT.
*/}}
{{- define "gomatch.shorten" -}}
{{- $limit := int .limit -}}
{{- if gt (len .name) $limit -}}
{{- printf "%s-%s" (.name | trunc (int (sub $limit 9)) | trimSuffix "-") (.name | sha256sum | trunc 8) -}}
{{- else -}}
{{- .name -}}
{{- end -}}
{{- end -}}

{{- define "gomatch.name" -}}
{{- include "gomatch.shorten" (dict "name" (.Values.nameOverride | default .Chart.Name) "limit" 40) -}}
{{- end -}}

{{/*
The first part of every object's name: at most 40 characters, and a DNS label that begins with a
letter, as a Service's name must.
*/}}
{{- define "gomatch.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- $full := ternary $release (printf "%s-%s" $release $name) (contains $name $release) -}}
{{- $full = .Values.fullnameOverride | default $full -}}
{{- if not (regexMatch "^[a-z]" $full) -}}
{{- $full = printf "gomatch-%s" $full -}}
{{- end -}}
{{- include "gomatch.shorten" (dict "name" $full "limit" 40) -}}
{{- end -}}

{{/* Cluster-wide objects carry the namespace in their name, so that two releases never share one. */}}
{{- define "gomatch.clusterName" -}}
{{- include "gomatch.shorten" (dict "name" (printf "%s-%s-operator" .Release.Namespace (include "gomatch.fullname" .)) "limit" 63) -}}
{{- end -}}

{{/* Namespaces in which Markets are served, as a JSON list. With clusterScope: the release's own. */}}
{{- define "gomatch.marketNamespaces" -}}
{{- if .Values.clusterScope -}}
{{- list .Release.Namespace | toJson -}}
{{- else -}}
{{- .Values.watchNamespaces | default (list .Release.Namespace) | uniq | toJson -}}
{{- end -}}
{{- end -}}

{{/* Where Secrets that the chart makes go: to the markets and to API and operator. JSON list. */}}
{{- define "gomatch.secretNamespaces" -}}
{{- prepend (fromJsonArray (include "gomatch.marketNamespaces" .)) .Release.Namespace | uniq | toJson -}}
{{- end -}}

{{- define "gomatch.serviceAccountName" -}}
{{- $account := (index .root.Values .component).serviceAccount -}}
{{- if $account.create -}}
{{- $account.name | default (printf "%s-%s" (include "gomatch.fullname" .root) .component) -}}
{{- else -}}
{{- $account.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* With clusterScope nobody knows the namespaces beforehand; each has an account `default`. */}}
{{- define "gomatch.matcherServiceAccountName" -}}
{{- if and .Values.clusterScope (not .Values.matcher.serviceAccount.name) -}}
default
{{- else -}}
{{- include "gomatch.serviceAccountName" (dict "root" . "component" "matcher") -}}
{{- end -}}
{{- end -}}

{{- define "gomatch.serverSecretName" -}}
{{- .Values.server.existingSecret | default (printf "%s-server" (include "gomatch.fullname" .)) -}}
{{- end -}}

{{- define "gomatch.callbackSecretName" -}}
{{- .Values.callback.existingSecret | default (printf "%s-callback" (include "gomatch.fullname" .)) -}}
{{- end -}}

{{- define "gomatch.callbackTargets" -}}
{{- printf "%s-callback.%s.svc:8081" (include "gomatch.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "gomatch.canaryName" -}}
{{- printf "%s-operator-canary" (include "gomatch.fullname" .) -}}
{{- end -}}
