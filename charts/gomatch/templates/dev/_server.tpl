{{/*
One server of dev: ConfigMap, Deployment, Service, and by choice a claim and a NetworkPolicy.
Argument: dict "root" $ "server" KEY-BELOW-dev "ports" (dict NAME NUMBER …) "variables" MAP
"secret" NAME-OR-EMPTY "probe" COMMAND.
The script of the ConfigMap starts the server, whatever the entry point of the image is. /etc/passwd
gives the numeric user the name that such servers ask for.
*/}}
{{- define "gomatch.dev" -}}
{{- $root := .root -}}
{{- $dev := $root.Values.dev -}}
{{- $server := index $dev .server -}}
{{- $name := printf "%s-%s" (include "gomatch.fullname" $root) .server -}}
{{- $here := dict "root" $root "component" .server -}}
{{- $metadata := merge (dict "name" $name) $here -}}
{{- $script := $root.Files.Get (printf "files/dev/%s.sh" .server) -}}
{{- $passwd := printf "%s:x:%d:%d::/data:/bin/sh" .server (int64 $server.runAsUser) (int64 $server.runAsUser) -}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "gomatch.metadata" $metadata | nindent 2 }}
data:
  passwd: |
    {{- $passwd | nindent 4 }}
  start.sh: |
    {{- $script | nindent 4 }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "gomatch.metadata" $metadata | nindent 2 }}
spec:
  replicas: 1
  strategy:
    type: Recreate
  selector:
    matchLabels:
      {{- include "gomatch.selectorLabels" $here | nindent 6 }}
  template:
    metadata:
      # Nothing that an upgrade changes: without persistence a new pod begins with nothing.
      labels:
        app.kubernetes.io/part-of: gomatch
        {{- include "gomatch.selectorLabels" $here | nindent 8 }}
      annotations:
        gomatch.io/configuration: {{ printf "%s%s" $passwd $script | sha256sum }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- include "gomatch.imagePullSecrets" $root | nindent 6 }}
      securityContext:
        {{- include "gomatch.podSecurityContext" $server.runAsUser | nindent 8 }}
      terminationGracePeriodSeconds: 30
      containers:
        - name: server
          image: {{ include "gomatch.image" (dict "root" $root "image" $server.image) | quote }}
          imagePullPolicy: {{ $server.image.pullPolicy }}
          command:
            - sh
            - /etc/gomatch/start.sh
          env:
            - name: HOME
              value: /data
            {{- include "gomatch.variables" .variables | nindent 12 }}
          ports:
            {{- range $port, $number := .ports }}
            - name: {{ $port }}
              containerPort: {{ $number }}
            {{- end }}
          startupProbe:
            {{- toYaml .probe | nindent 12 }}
            periodSeconds: 2
            failureThreshold: 90
          readinessProbe:
            {{- toYaml .probe | nindent 12 }}
            periodSeconds: 5
          securityContext:
            {{- include "gomatch.containerSecurityContext" . | nindent 12 }}
          resources:
            {{- toYaml $server.resources | nindent 12 }}
          volumeMounts:
            - name: data
              mountPath: /data
            - name: tmp
              mountPath: /tmp
            - name: configuration
              mountPath: /etc/gomatch/start.sh
              subPath: start.sh
              readOnly: true
            - name: configuration
              mountPath: /etc/passwd
              subPath: passwd
              readOnly: true
            {{- if .secret }}
            - name: credentials
              mountPath: /etc/gomatch/credentials
              readOnly: true
            {{- end }}
      volumes:
        - name: data
          {{- if $dev.persistence.enabled }}
          persistentVolumeClaim:
            claimName: {{ $name }}
          {{- else }}
          emptyDir: {}
          {{- end }}
        - name: tmp
          emptyDir: {}
        - name: configuration
          configMap:
            name: {{ $name | quote }}
        {{- with .secret }}
        - name: credentials
          secret:
            secretName: {{ . | quote }}
            defaultMode: 0440
        {{- end }}
      {{- include "gomatch.scheduling" $dev | nindent 6 }}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "gomatch.metadata" $metadata | nindent 2 }}
spec:
  selector:
    {{- include "gomatch.selectorLabels" $here | nindent 4 }}
  ports:
    {{- range $port, $number := .ports }}
    - name: {{ $port }}
      port: {{ $number }}
      targetPort: {{ $port }}
    {{- end }}
{{- if $dev.persistence.enabled }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  {{- include "gomatch.metadata" (merge (dict "annotations" (dict "helm.sh/resource-policy" "keep")) $metadata) | nindent 2 }}
spec:
  accessModes:
    - ReadWriteOnce
  {{- with $dev.persistence.storageClassName }}
  storageClassName: {{ . | quote }}
  {{- end }}
  resources:
    requests:
      storage: {{ $dev.persistence.size }}
{{- end }}
{{- if $root.Values.networkPolicy.enabled }}
---
# It opens no connections of its own.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "gomatch.metadata" $metadata | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "gomatch.selectorLabels" $here | nindent 6 }}
  policyTypes:
    - Ingress
    - Egress
  ingress:
    - ports:
        {{- range $port, $_ := .ports }}
        - protocol: TCP
          port: {{ $port }}
        {{- end }}
      from:
        {{- include "gomatch.matcherPeers" $root | nindent 8 }}
        {{- include "gomatch.ownPeer" (dict "root" $root "component" "api") | nindent 8 }}
        {{- include "gomatch.ownPeer" (dict "root" $root "component" "operator") | nindent 8 }}
  egress: []
{{- end }}
{{- end -}}
