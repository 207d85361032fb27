{{/* Peers of a NetworkPolicy: all matchers of the namespaces that this release serves. */}}
{{- define "gomatch.matcherPeers" -}}
- podSelector:
    matchLabels:
      app.kubernetes.io/name: gomatch-matcher
      app.kubernetes.io/managed-by: gomatch-operator
  {{- if .Values.clusterScope }}
  namespaceSelector: {}
  {{- else }}
  namespaceSelector:
    matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values:
          {{- include "gomatch.marketNamespaces" . | fromJsonArray | toYaml | nindent 10 }}
  {{- end }}
{{- end -}}

{{- define "gomatch.ownPeer" -}}
- podSelector:
    matchLabels:
      {{- include "gomatch.selectorLabels" . | nindent 6 }}
{{- end -}}

{{/*
Rules of egress: DNS, then each server by its port, wherever it is, and what the values add.
Argument: dict "root" $ "servers" (list …).
*/}}
{{- define "gomatch.egressToServers" -}}
{{- $root := .root -}}
- ports:
    - protocol: UDP
      port: 53
    - protocol: TCP
      port: 53
- ports:
    {{- range .servers }}
    - protocol: TCP
      port: {{ (include "gomatch.server" (dict "root" $root "server" .) | fromYaml).port }}
    {{- end }}
{{- with $root.Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
