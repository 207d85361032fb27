{{/*
A value of a Secret of the release's namespace, as it is there already; empty if it is not.
Argument: dict "root" $ "name" NAME "key" KEY.
*/}}
{{- define "gomatch.keptValue" -}}
{{- $secret := lookup "v1" "Secret" .root.Release.Namespace .name -}}
{{- if $secret -}}
{{- index ($secret.data | default dict) .key | default "" | b64dec -}}
{{- end -}}
{{- end -}}

{{/*
One Secret in several namespaces, kept when the release is uninstalled.
Argument: dict "root" $ "component" COMPONENT "name" NAME "namespaces" LIST "values" MAP.
*/}}
{{- define "gomatch.keptSecrets" -}}
{{- $given := . -}}
{{- range .namespaces }}
---
apiVersion: v1
kind: Secret
metadata:
  {{- include "gomatch.metadata" (dict "root" $given.root "component" $given.component "name" $given.name "namespace" .
      "annotations" (dict "helm.sh/resource-policy" "keep")) | nindent 2 }}
type: Opaque
data:
  {{- range $key, $value := $given.values }}
  {{ $key }}: {{ $value | b64enc | quote }}
  {{- end }}
{{- end }}
{{- end -}}
