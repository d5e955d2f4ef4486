{{/* What every pod has; takes root, values (of the component), stop (seconds), and account where the chart's own service
     account isn't there yet. */}}
{{- define "bridge.podSpec" -}}
serviceAccountName: {{ default (include "bridge.serviceAccount" .root) .account }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .stop }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- with .root.Values.runAsUser }}
  runAsUser: {{ int . }}
  runAsGroup: {{ int . }}
  fsGroup: {{ int . }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
{{- with .values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* takes root and component */}}
{{- define "bridge.podMetadata" -}}
labels:
  {{- include "bridge.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .values.podAnnotations }}
annotations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* takes root and component */}}
{{- define "bridge.spread" -}}
{{- with .root.Values.topologySpread }}
topologySpreadConstraints:
  {{- range . }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "bridge.selector" $.root | nindent 8 }}
        app.kubernetes.io/component: {{ $.component }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end }}

{{/* takes root and secrets (whether a container of the pod has the definitions' secrets) */}}
{{- define "bridge.volumes" -}}
{{- $secrets := .secrets }}
{{- with .root }}
volumes:
  # Whole folders, never a file of one (subPath): what is changed in them then comes into a pod that runs.
  - name: webhooks
    configMap: {name: {{ include "bridge.configMap" . }}}
  - name: tmp
    emptyDir: {sizeLimit: 256Mi}
  {{- if $secrets }}
  {{- range .Values.secretFiles }}
  - name: secret-{{ . | replace "." "-" | trunc 50 }}
    secret: {secretName: {{ . }}}
  {{- end }}
  {{- end }}
  {{- if .Values.database.caSecret }}
  - name: database-ca
    secret: {secretName: {{ .Values.database.caSecret }}, items: [{key: {{ .Values.database.caKey }}, path: ca.crt}]}
  {{- end }}
  {{- if .Values.database.sqlite.enabled }}
  - name: data
    persistentVolumeClaim: {claimName: {{ default (printf "%s-data" (include "bridge.fullname" .)) .Values.database.sqlite.existingClaim }}}
  {{- end }}
{{- end }}
{{- end }}

{{/* What every container has; takes root, env (Secrets that become its environment) and secrets (whether it has the
     definitions' secrets as files). A process gets no secret that it has no need of. */}}
{{- define "bridge.container" -}}
{{- $env := .env }}
{{- $secrets := .secrets }}
{{- with .root }}
image: {{ include "bridge.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: webhooks, mountPath: /etc/webhook-bridge, readOnly: true}
  - {name: tmp, mountPath: /tmp}
  {{- range $secrets | ternary .Values.secretFiles list }}
  - {name: secret-{{ . | replace "." "-" | trunc 50 }}, mountPath: /run/secrets/bridge/{{ . }}, readOnly: true}
  {{- end }}
  {{- if .Values.database.caSecret }}
  - {name: database-ca, mountPath: /run/secrets/database, readOnly: true}
  {{- end }}
  {{- if .Values.database.sqlite.enabled }}
  - {name: data, mountPath: /data}
  {{- end }}
{{- with $env }}
envFrom:
  {{- range . }}
  - secretRef: {name: {{ . }}}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The environment of every process; those that know the store have bridge.databaseEnv too. */}}
{{- define "bridge.env" -}}
- {name: BRIDGE_WEBHOOKS, value: /etc/webhook-bridge}
- {name: CONDUCTOR_SERVER_URL, value: {{ .Values.conductor.url | quote }}}
{{- with .Values.conductor.uiUrl }}
- {name: CONDUCTOR_UI_SERVER_URL, value: {{ . | quote }}}
{{- end }}
{{- with include "bridge.publicUrl" . }}
- {name: BRIDGE_PUBLIC_URL, value: {{ . | quote }}}
{{- end }}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- with .Values.extraEnv }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}

{{- define "bridge.databaseEnv" -}}
{{- $urlKey := include "bridge.databaseUrlKey" . }}
{{- with .Values.database }}
{{- if .sqlite.enabled }}
- {name: BRIDGE_DATABASE, value: "sqlite:////data/bridge.db"}
{{- else if .host }}
- {name: BRIDGE_DATABASE, value: {{ printf "postgresql://%s@%s:%d/%s?sslmode=%s" (urlquery .user) .host (int .port) (urlquery .name) .sslmode | quote }}}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef: {name: {{ .existingSecret }}, key: {{ default "password" .passwordKey }}}
{{- else }}
- name: BRIDGE_DATABASE
  valueFrom:
    secretKeyRef: {name: {{ .existingSecret }}, key: {{ $urlKey }}}
{{- end }}
{{- if .caSecret }}
- {name: PGSSLROOTCERT, value: /run/secrets/database/ca.crt}
{{- end }}
{{- end }}
{{- end }}

{{/* Three probes of a process; takes port (a name). The start may wait for another pod that migrates the store. */}}
{{- define "bridge.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ .port }}}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: {{ .port }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: {{ .port }}}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end }}

{{- define "bridge.relayContainer" -}}
- name: relay
  {{- include "bridge.container" (dict "root" . "env" .Values.secretEnv "secrets" true) | nindent 2 }}
  command: [webhook-bridge, relay]
  env:
    {{- include "bridge.env" . | nindent 4 }}
    {{- include "bridge.databaseEnv" . | nindent 4 }}
    - {name: PORT, value: "{{ .Values.relay.port }}"}
    - {name: BRIDGE_RELAY_METRICS, value: "0.0.0.0:{{ .Values.relay.metricsPort }}"}
    - {name: BRIDGE_TRUSTED_PROXIES, value: {{ kindIs "slice" .Values.trustedProxies | ternary (join "," .Values.trustedProxies) (toString .Values.trustedProxies) | quote }}}
  ports:
    - {name: http, containerPort: {{ .Values.relay.port }}}
    - {name: relay-metrics, containerPort: {{ .Values.relay.metricsPort }}}
  {{- include "bridge.probes" (dict "port" "http") | nindent 2 }}
  lifecycle:
    preStop:
      # Until every node and proxy knows that this pod goes, deliveries still come here, and are taken.
      exec: {command: [sleep, "{{ .Values.relay.preStopSeconds }}"]}
  resources: {{ toYaml .Values.relay.resources | nindent 4 }}
{{- end }}

{{- define "bridge.workerContainer" -}}
- name: worker
  {{- include "bridge.container" (dict "root" . "env" .Values.worker.secretEnv "secrets" false) | nindent 2 }}
  command: [webhook-bridge, worker]
  env:
    {{- include "bridge.env" . | nindent 4 }}
    {{- include "bridge.databaseEnv" . | nindent 4 }}
    - {name: BRIDGE_WORKER_METRICS, value: "0.0.0.0:{{ .Values.worker.metricsPort }}"}
    {{- with .Values.conductor }}
    {{- if .existingSecret }}
    - name: CONDUCTOR_AUTH_KEY
      valueFrom:
        secretKeyRef: {name: {{ .existingSecret }}, key: {{ .keyKey }}}
    - name: CONDUCTOR_AUTH_SECRET
      valueFrom:
        secretKeyRef: {name: {{ .existingSecret }}, key: {{ .secretKey }}}
    {{- end }}
    {{- end }}
  ports:
    - {name: worker-metrics, containerPort: {{ .Values.worker.metricsPort }}}
  {{- include "bridge.probes" (dict "port" "worker-metrics") | nindent 2 }}
  resources: {{ toYaml .Values.worker.resources | nindent 4 }}
{{- end }}

{{- define "bridge.adminContainer" -}}
- name: admin
  {{- include "bridge.container" (dict "root" . "env" .Values.secretEnv "secrets" true) | nindent 2 }}
  command: [webhook-bridge, admin]
  env:
    - {name: ADMIN_HOST, value: "0.0.0.0"}
    - {name: ADMIN_PORT, value: "{{ .Values.admin.port }}"}
    - {name: BRIDGE_RELAY_URL, value: "http://{{ ternary "localhost" (printf "%s-relay" (include "bridge.fullname" .)) .Values.database.sqlite.enabled }}:{{ .Values.relay.port }}"}
    {{- include "bridge.env" . | nindent 4 }}
    {{- include "bridge.databaseEnv" . | nindent 4 }}
    - name: BRIDGE_ADMIN_TOKEN
      valueFrom:
        secretKeyRef: {name: {{ .Values.admin.existingSecret }}, key: {{ .Values.admin.tokenKey }}}
    {{- range $name, $key := .Values.admin.secretSettings }}
    - name: {{ $name }}
      valueFrom:
        secretKeyRef: {name: {{ $.Values.admin.existingSecret }}, key: {{ $key }}}
    {{- end }}
  ports:
    - {name: admin, containerPort: {{ .Values.admin.port }}}
  {{- include "bridge.probes" (dict "port" "admin") | nindent 2 }}
  resources: {{ toYaml .Values.admin.resources | nindent 4 }}
{{- end }}
