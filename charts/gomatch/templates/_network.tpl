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
Rules of egress: DNS, then the servers by their ports, wherever they are, and what the values add.
Argument: dict "root" $ "ports" (list …).
*/}}
{{- define "gomatch.egressToServers" -}}
- ports:
    - protocol: UDP
      port: 53
    - protocol: TCP
      port: 53
- ports:
    {{- range .ports }}
    - protocol: TCP
      port: {{ . }}
    {{- end }}
{{- with .root.Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
