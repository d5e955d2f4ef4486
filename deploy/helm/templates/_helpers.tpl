{{- define "bridge.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Room is left for what names the parts. */}}
{{- define "bridge.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "bridge.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "bridge.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "bridge.selector" -}}
app.kubernetes.io/name: {{ include "bridge.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bridge.labels" -}}
{{ include "bridge.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "bridge.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{- define "bridge.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "bridge.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "bridge.configMap" -}}
{{- default (printf "%s-webhooks" (include "bridge.fullname" .)) .Values.existingConfigMap }}
{{- end }}

{{/* With autoscaling, what the autoscaler has chosen: without a number here, Kubernetes would fall back to one replica as
     autoscaling is turned on. Where the cluster can't be asked (helm template), the fewest that there may be. */}}
{{- define "bridge.relayReplicas" -}}
{{- $scaling := .Values.relay.autoscaling }}
{{- if $scaling.enabled }}
{{- $name := printf "%s-relay" (include "bridge.fullname" .) }}
{{- $live := dig "spec" "replicas" $scaling.minReplicas (lookup "apps/v1" "Deployment" .Release.Namespace $name) }}
{{- min (max (int $live) (int $scaling.minReplicas)) (int $scaling.maxReplicas) }}
{{- else if kindIs "invalid" .Values.relay.replicas }}{{ ternary 1 2 .Values.database.sqlite.enabled }}{{ else }}{{ .Values.relay.replicas }}{{ end }}
{{- end }}

{{- define "bridge.workerReplicas" -}}
{{- if kindIs "invalid" .Values.worker.replicas }}{{ ternary 1 2 .Values.database.sqlite.enabled }}{{ else }}{{ .Values.worker.replicas }}{{ end }}
{{- end }}

{{- define "bridge.publicUrl" -}}
{{- if .Values.publicUrl }}{{ .Values.publicUrl }}
{{- else if .Values.ingress.enabled }}{{ ternary "https" "http" (ne .Values.ingress.tlsSecret "") }}://{{ .Values.ingress.host }}
{{- else if .Values.httpRoute.enabled }}https://{{ .Values.httpRoute.host }}
{{- end }}
{{- end }}

{{/* The ports that PostgreSQL listens on, as JSON: those of the URL in the Secret, where the cluster can be asked for it.
     Each of several hosts has its own, or PostgreSQL's default. */}}
{{- define "bridge.databasePorts" -}}
{{- $database := .Values.database }}
{{- $ports := .Values.networkPolicy.databasePorts }}
{{- if and (not $ports) (not $database.host) $database.existingSecret }}
{{- $secret := lookup "v1" "Secret" .Release.Namespace $database.existingSecret }}
{{- with dig "data" (include "bridge.databaseUrlKey" $) "" $secret | b64dec | trim }}
{{- $hosts := regexReplaceAll "[/?].*$" (regexReplaceAll "^[a-z]+://([^@/]*@)?" . "") "" }}
{{- with regexFind "[?&]port=[0-9,]+" . }}{{ $hosts = regexReplaceAll "(^.port=|,)" . ",:" | trimPrefix "," }}{{ end }}
{{- range splitList "," $hosts }}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default "5432" | int) }}
{{- end }}
{{- end }}
{{- end }}
{{- default (list (int $database.port)) $ports | uniq | toJson }}
{{- end }}

{{/* The key with PostgreSQL's URL: null is the default. */}}
{{- define "bridge.databaseUrlKey" -}}
{{- default "url" .Values.database.urlKey }}
{{- end }}

{{/* The component whose pods hold a process: with SQLite one pod holds all three. */}}
{{- define "bridge.podOf" -}}
{{- ternary "bridge" .component .root.Values.database.sqlite.enabled }}
{{- end }}

{{/* The webhook that `helm test` posts to; empty if nobody says. */}}
{{- define "bridge.testWebhook" -}}
{{- if .Values.test.webhook }}{{ .Values.test.webhook }}
{{- else if .Values.webhooks }}
{{- $first := first (default (list) (fromYaml .Values.webhooks).webhooks) }}
{{- if $first }}{{ $first.name }}{{ end }}
{{- end }}
{{- end }}

{{/* What would start and then not work is refused here, each with its remedy. */}}
{{- define "bridge.check" -}}
{{- $v := .Values }}
{{- if not (or $v.webhooks $v.existingConfigMap) }}
{{- fail "webhooks: there are no definitions; give a file with --set-file webhooks=webhooks.yaml, or name a ConfigMap in existingConfigMap" }}
{{- end }}
{{- if and $v.webhooks $v.existingConfigMap }}
{{- fail "webhooks: there is existingConfigMap too; leave one of them out" }}
{{- end }}
{{- if not $v.conductor.url }}
{{- fail "conductor.url: say where Conductor's API is, such as http://conductor.conductor.svc:8080/api" }}
{{- end }}
{{- if and $v.admin.enabled (not $v.admin.existingSecret) }}
{{- fail "admin.existingSecret: name a Secret with the page's token (key BRIDGE_ADMIN_TOKEN), or set admin.enabled=false" }}
{{- end }}
{{- if $v.database.sqlite.enabled }}
{{- if or $v.database.existingSecret $v.database.host }}
{{- fail "database: sqlite.enabled is set beside PostgreSQL's existingSecret or host; leave one of them out" }}
{{- end }}
{{- if $v.relay.autoscaling.enabled }}
{{- fail "relay.autoscaling.enabled: not with database.sqlite.enabled, which is for one pod alone: turn it off, or use PostgreSQL (database.existingSecret)" }}
{{- end }}
{{- range $name, $replicas := dict "relay" (include "bridge.relayReplicas" .) "worker" (include "bridge.workerReplicas" .) }}
{{- if ne $replicas "1" }}
{{- fail (printf "%s.replicas: %s with database.sqlite.enabled, which is for one pod alone: leave it out, or use PostgreSQL (database.existingSecret)" $name $replicas) }}
{{- end }}
{{- end }}
{{- else if not $v.database.existingSecret }}
{{- fail "database.existingSecret: name a Secret with PostgreSQL's URL (key url), or with its password and set database.host; or set database.sqlite.enabled=true" }}
{{- end }}
{{- if and $v.relay.autoscaling.enabled (lt (int $v.relay.autoscaling.maxReplicas) (int $v.relay.autoscaling.minReplicas)) }}
{{- fail "relay.autoscaling.maxReplicas: less than minReplicas" }}
{{- end }}
{{- if and $v.ingress.enabled (not $v.ingress.host) }}
{{- fail "ingress.host: say the host that platforms call, such as hooks.example.com" }}
{{- end }}
{{- if and $v.httpRoute.enabled (not (and $v.httpRoute.host $v.httpRoute.parentRefs)) }}
{{- fail "httpRoute: say the host that platforms call, and the gateway in parentRefs" }}
{{- end }}
{{- with $v.conductorAddress }}
{{- if and .enabled (not (and .host .service)) }}
{{- fail "conductorAddress: say the host that Conductor's clients call, and Conductor's service" }}
{{- end }}
{{- if and .enabled (not (or $v.ingress.enabled $v.httpRoute.enabled)) }}
{{- fail "conductorAddress.enabled: set ingress.enabled or httpRoute.enabled too" }}
{{- end }}
{{- if and .enabled (not $v.admin.enabled) }}
{{- fail "conductorAddress.enabled: the admin process answers there; set admin.enabled=true" }}
{{- end }}
{{- end }}
{{- $own := dict "BRIDGE_WEBHOOKS" "webhooks" "BRIDGE_DATABASE" "database" "BRIDGE_PUBLIC_URL" "publicUrl" "BRIDGE_TRUSTED_PROXIES" "trustedProxies" "BRIDGE_RELAY_METRICS" "relay.metricsPort" "BRIDGE_WORKER_METRICS" "worker.metricsPort" "BRIDGE_ADMIN_TOKEN" "admin.existingSecret" "BRIDGE_RELAY_URL" "relay.port" "CONDUCTOR_SERVER_URL" "conductor.url" "CONDUCTOR_UI_SERVER_URL" "conductor.uiUrl" "CONDUCTOR_AUTH_KEY" "conductor.existingSecret" "CONDUCTOR_AUTH_SECRET" "conductor.existingSecret" }}
{{- range $setting, $value := $own }}
{{- if hasKey $v.settings $setting }}
{{- fail (printf "settings.%s: the chart sets it; use %s" $setting $value) }}
{{- end }}
{{- end }}
{{- if ne (toString (default "off" (get $v.settings "BRIDGE_ADMIN_WRITES"))) "off" }}
{{- fail "settings.BRIDGE_ADMIN_WRITES: definitions are in a ConfigMap, which no pod can write; leave it out" }}
{{- end }}
{{- $known := list "BRIDGE_ADMIN_TOKEN" "BRIDGE_ADMIN_URL" "BRIDGE_ADMIN_WRITES" "BRIDGE_CALLS" "BRIDGE_CALL_TIMEOUT" "BRIDGE_CLOCK_SKEW" "BRIDGE_CONDUCTOR_CERT" "BRIDGE_CONDUCTOR_CERT_KEY" "BRIDGE_CONDUCTOR_PAYLOAD" "BRIDGE_DATABASE" "BRIDGE_DISCOVERY_INTERVAL" "BRIDGE_DOCS_URL" "BRIDGE_FOLLOW_TRACES" "BRIDGE_KEY_MIRROR" "BRIDGE_LEAVE_TO_CONDUCTOR" "BRIDGE_LOG_FORMAT" "BRIDGE_NOTIFY" "BRIDGE_POLL_INTERVAL" "BRIDGE_PUBLIC_URL" "BRIDGE_RELAY_METRICS" "BRIDGE_RELAY_URL" "BRIDGE_RETENTION" "BRIDGE_TASK_DOMAINS" "BRIDGE_TRUSTED_PROXIES" "BRIDGE_VIEWER_TOKEN" "BRIDGE_WEBHOOKS" "BRIDGE_WORKER_METRICS" }}
{{- range $setting, $_ := $v.settings }}
{{- if and (hasPrefix "BRIDGE_" $setting) (not (has $setting $known)) }}
{{- fail (printf "settings.%s: the bridge has no such setting; see Settings in README.md" $setting) }}
{{- end }}
{{- end }}
{{- if and $v.networkPolicy.enabled (not $v.networkPolicy.ingressFrom) }}
{{- fail "networkPolicy.ingressFrom: [] would let nobody reach the relay; say who may, or any for every pod" }}
{{- end }}
{{- $taken := dict }}
{{- range $name, $port := dict "relay.port" $v.relay.port "relay.metricsPort" $v.relay.metricsPort "worker.metricsPort" $v.worker.metricsPort "admin.port" $v.admin.port }}
{{- $key := toString (int $port) }}
{{- if hasKey $taken $key }}
{{- fail (printf "%s: %s is the port of %s already" $name $key (get $taken $key)) }}
{{- end }}
{{- $_ := set $taken $key $name }}
{{- end }}
{{- end }}
