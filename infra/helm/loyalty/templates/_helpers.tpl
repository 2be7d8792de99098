{{- define "loyalty.name" -}}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{- end }}

{{- define "loyalty.selector" -}}
app.kubernetes.io/name: loyalty
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "loyalty.labels" -}}
{{ include "loyalty.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "loyalty.image" -}}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{- end }}

{{/* What every pod has: nobody's account, no right to anything, no variables of other services. */}}
{{- define "loyalty.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
volumes:
  - name: secret
    secret:
      secretName: {{ .Values.secret.name }}
      defaultMode: 0440
  - name: scratch
    emptyDir: {medium: Memory, sizeLimit: 64Mi}
  {{- if .Values.policy }}
  - name: policy
    configMap: {name: {{ include "loyalty.name" . }}-policy}
  {{- end }}
  {{- range $name := list "kafka" "redis" }}
  {{- with (index $.Values $name).caSecret }}
  - name: {{ $name }}-ca
    secret: {secretName: {{ .name }}, items: [{key: {{ get . "key" | default "ca.crt" }}, path: ca.crt}]}
  {{- end }}
  {{- end }}
{{- end }}

{{- define "loyalty.container" -}}
image: {{ include "loyalty.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: secret, mountPath: /run/secrets/loyalty, readOnly: true}
  - {name: scratch, mountPath: /tmp}
  {{- if .Values.policy }}
  - {name: policy, mountPath: /etc/loyalty, readOnly: true}
  {{- end }}
  {{- range $name := list "kafka" "redis" }}
  {{- if (index $.Values $name).caSecret }}
  - {name: {{ $name }}-ca, mountPath: /run/ca/{{ $name }}, readOnly: true}
  {{- end }}
  {{- end }}
{{- end }}

{{/* The settings that all have. */}}
{{- define "loyalty.env" -}}
{{- $files := dict "METRICS_TOKEN" .Values.secret.metricsToken "ERASE_KEY" .Values.secret.eraseKey "KAFKA_PASSWORD" .Values.secret.kafkaPassword "REDIS_PASSWORD" .Values.secret.redisPassword "SCHEMA_REGISTRY_PASSWORD" .Values.secret.registryPassword -}}
{{- $plain := dict "KAFKA" .Values.kafka.servers "KAFKA_SECURITY" .Values.kafka.security "REDIS" .Values.redis.url "PARTITIONS" (toString .Values.partitions) "PREFIX" .Values.prefix "GROUP" .Values.group -}}
{{- if hasPrefix "SASL_" .Values.kafka.security }}
{{- $plain = merge $plain (dict "KAFKA_SASL_MECHANISM" .Values.kafka.saslMechanism "KAFKA_USER" .Values.kafka.user) }}
{{- end }}
{{- if .Values.kafka.caSecret }}{{ $plain = merge $plain (dict "KAFKA_CA_FILE" "/run/ca/kafka/ca.crt") }}{{ end }}
{{- if .Values.redis.caSecret }}{{ $plain = merge $plain (dict "REDIS_CA_FILE" "/run/ca/redis/ca.crt") }}{{ end }}
{{- if .Values.redis.user }}{{ $plain = merge $plain (dict "REDIS_USER" .Values.redis.user) }}{{ end }}
{{- if .Values.schemaRegistry.url }}{{ $plain = merge $plain (dict "SCHEMA_REGISTRY_URL" .Values.schemaRegistry.url "SCHEMA_REGISTRY_USER" .Values.schemaRegistry.user) }}{{ end }}
{{- if .Values.policy }}{{ $plain = merge $plain (dict "POLICY" "/etc/loyalty/policy.toml") }}{{ end }}
{{- range $name, $value := $plain }}
- {name: LOYALTY_{{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- range $name, $key := $files }}
{{- if $key }}
- {name: LOYALTY_{{ $name }}_FILE, value: /run/secrets/loyalty/{{ $key }}}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
