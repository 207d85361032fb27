{{/* A server in the operator's file. Argument: dict "root" $ "server" NAME. */}}
{{- define "gomatch.operatorServer" -}}
{{- $server := include "gomatch.server" . | fromYaml -}}
url: {{ $server.url | quote }}
secretName: {{ $server.secret | quote }}
caConfigMap: {{ $server.caConfigMap | quote }}
credentials: /etc/gomatch/credentials/{{ .server }}
{{- end -}}

{{/* The operator's configuration, whole. It holds no secret. */}}
{{- define "gomatch.operatorSettings" -}}
{{- $matcher := .Values.matcher -}}
installation: {{ .Values.installation | default (printf "%s/%s" .Release.Namespace (include "gomatch.fullname" .)) | quote }}
namespace: {{ .Release.Namespace | quote }}
watchNamespaces: {{ ternary (list) (include "gomatch.marketNamespaces" . | fromJsonArray) .Values.clusterScope | toJson }}
clusterScope: {{ .Values.clusterScope }}
leaseName: {{ include "gomatch.fullname" . }}-operator
workers: {{ .Values.operator.workers }}
backlogLimit: {{ .Values.backlogLimit | int64 }}
logLevel: {{ .Values.logLevel }}
port: 9091
rollout:
  maxConcurrent: {{ .Values.operator.maxConcurrentRollouts | int64 }}
  deadlineSeconds: {{ .Values.operator.rolloutDeadlineSeconds | int64 }}
servers:
  postgres:
    {{- include "gomatch.operatorServer" (dict "root" . "server" "postgres") | nindent 4 }}
  rabbitmq:
    {{- include "gomatch.operatorServer" (dict "root" . "server" "rabbitmq") | nindent 4 }}
    managementUrl: {{ include "gomatch.managementUrl" . | quote }}
    {{- if and .Values.rabbitmq.management.tls .Values.rabbitmq.caConfigMap }}
    managementCa: /etc/gomatch/ca/rabbitmq/ca.crt
    {{- end }}
    vhost: {{ .Values.rabbitmq.vhost | quote }}
  redis:
    {{- include "gomatch.operatorServer" (dict "root" . "server" "redis") | nindent 4 }}
matcher:
  image: {{ include "gomatch.image" (dict "root" . "image" $matcher.image) | quote }}
  imagePullPolicy: {{ $matcher.image.pullPolicy }}
  imagePullSecrets: {{ .Values.global.imagePullSecrets | toJson }}
  serviceAccountName: {{ include "gomatch.matcherServiceAccountName" . | quote }}
  callbackTargets: {{ include "gomatch.callbackTargets" . | quote }}
  callbackSecretName: {{ include "gomatch.callbackSecretName" . | quote }}
  terminationGraceSeconds: {{ $matcher.terminationGracePeriodSeconds }}
  resources: {{ $matcher.resources | toJson }}
  environment: {{ merge (deepCopy $matcher.environment) (dict "GOMATCH_LOG_LEVEL" .Values.logLevel) | toJson }}
  podLabels: {{ mergeOverwrite (deepCopy .Values.commonLabels) $matcher.podLabels | toJson }}
  podAnnotations: {{ $matcher.podAnnotations | toJson }}
  nodeSelector: {{ $matcher.nodeSelector | toJson }}
  tolerations: {{ $matcher.tolerations | toJson }}
  affinity: {{ $matcher.affinity | toJson }}
  priorityClassName: {{ $matcher.priorityClassName | quote }}
network:
  enabled: {{ .Values.networkPolicy.enabled }}
  apiNamespace: {{ .Release.Namespace | quote }}
  apiPodLabels:
    {{- include "gomatch.selectorLabels" (dict "root" . "component" "api") | nindent 4 }}
  metricsFrom: {{ .Values.networkPolicy.metricsFrom | toJson }}
  extraEgress: {{ .Values.networkPolicy.extraEgress | toJson }}
{{- end -}}
