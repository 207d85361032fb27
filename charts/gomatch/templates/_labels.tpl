{{/*
Labels of an object. Ours are laid over commonLabels. Argument: dict "root" $ "component" COMPONENT.
*/}}
{{- define "gomatch.labels" -}}
{{- $ours := dict
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/managed-by" .root.Release.Service
  "app.kubernetes.io/part-of" "gomatch" -}}
{{- $selector := include "gomatch.selectorLabels" . | fromYaml -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.commonLabels) $ours $selector) -}}
{{- end -}}

{{/* Selectors may never change, so they depend on nothing that an upgrade changes. */}}
{{- define "gomatch.selectorLabels" -}}
app.kubernetes.io/name: {{ include "gomatch.name" .root }}-{{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of a pod. Argument as above, with "podLabels" MAP. */}}
{{- define "gomatch.podLabels" -}}
{{- $labels := include "gomatch.labels" . | fromYaml -}}
{{- toYaml (mergeOverwrite (deepCopy .podLabels) $labels) -}}
{{- end -}}

{{/*
Name, namespace, labels and annotations of an object. Argument: dict "root" $ "component" COMPONENT
"name" NAME, and by choice "namespace" NAMESPACE (default: the release's; "-" for none) and "annotations" MAP.
*/}}
{{- define "gomatch.metadata" -}}
name: {{ .name | quote }}
{{- if ne (.namespace | default "") "-" }}
namespace: {{ .namespace | default .root.Release.Namespace | quote }}
{{- end }}
labels:
  {{- include "gomatch.labels" . | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
