{{/* What the operator may do where Markets are. No Secrets, no deletion of pods. */}}
{{- define "gomatch.marketRules" -}}
- apiGroups: [gomatch.io]
  resources: [markets]
  verbs: [get, list, watch, patch]
- apiGroups: [gomatch.io]
  resources: [markets/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
# The canary: changed now and then to see whether the watches still hear. A right to create cannot
# name the object.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "gomatch.canaryName" . }}]
  verbs: [get, list, watch, update]
{{- end -}}

{{/* Argument: dict "root" $ "kind" Role|ClusterRole "name" NAME. */}}
{{- define "gomatch.operatorSubject" -}}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name | quote }}
subjects:
  - kind: ServiceAccount
    name: {{ include "gomatch.serviceAccountName" (dict "root" .root "component" "operator") | quote }}
    namespace: {{ .root.Release.Namespace | quote }}
{{- end -}}
