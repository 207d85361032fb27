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
One Secret in several namespaces, made where there is none and never touched again. As a hook it belongs to no
revision of the release: a rollback would bring back what it held then, after a password was changed.
Argument: dict "root" $ "component" COMPONENT "name" NAME "namespaces" LIST "values" MAP.
*/}}
{{- define "gomatch.keptSecrets" -}}
{{- $given := . -}}
{{- $annotations := dict "helm.sh/hook" "pre-install,pre-upgrade" "helm.sh/resource-policy" "keep" -}}
{{- range .namespaces }}
{{- if not (lookup "v1" "Secret" . $given.name) }}
---
apiVersion: v1
kind: Secret
metadata:
  {{- include "gomatch.metadata" (dict "root" $given.root "component" $given.component "name" $given.name "namespace" .
      "annotations" $annotations) | nindent 2 }}
type: Opaque
data:
  {{- range $key, $value := $given.values }}
  {{ $key }}: {{ $value | b64enc | quote }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}
