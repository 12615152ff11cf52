{{- define "minutelog.name" -}}
{{- if contains "minutelog" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-minutelog" (.Release.Name | trunc 40 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "minutelog.selector" -}}
app.kubernetes.io/name: minutelog
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "minutelog.labels" -}}
{{ include "minutelog.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "minutelog.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "minutelog.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "minutelog.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{/* A value as TOML has it. Numbers of values.yaml are floats to Helm; the configuration has integers only. */}}
{{- define "minutelog.toml.value" -}}
{{- if kindIs "map" . -}}
{{- $pairs := list -}}
{{- range $key, $value := . -}}
{{- $pairs = append $pairs (printf "%s = %s" $key (include "minutelog.toml.value" $value)) -}}
{{- end -}}
{ {{ join ", " $pairs }} }
{{- else if kindIs "slice" . -}}
{{- $values := list -}}
{{- range . }}{{ $values = append $values (include "minutelog.toml.value" .) }}{{ end -}}
[{{ join ", " $values }}]
{{- else if kindIs "string" . -}}
{{ toJson . }}
{{- else if kindIs "bool" . -}}
{{ . }}
{{- else -}}
{{ int64 . }}
{{- end -}}
{{- end }}

{{/* minutelog.toml: the values, and over them what is the chart's own. */}}
{{- define "minutelog.toml" -}}
{{- $config := deepCopy .Values.config -}}
{{- $ingest := dict "listen" "0.0.0.0:9600" "ops_listen" "0.0.0.0:9601" -}}
{{- if .Values.tls.existingSecret -}}
{{- $files := dict "certificate" "/etc/minutelog/tls/tls.crt" "private_key" "/etc/minutelog/tls/tls.key" -}}
{{- $_ := set $ingest "tls" $files -}}
{{- end -}}
{{- $own := dict "ingest" $ingest "flusher" (dict "ops_listen" "0.0.0.0:9602") -}}
{{- $config = mergeOverwrite $config $own -}}
data_dir = "/var/lib/minutelog/data"
{{ range $section, $keys := $config }}
{{- if kindIs "slice" $keys }}
{{- range $keys }}

[[{{ $section }}]]
{{- range $key, $value := . }}
{{ $key }} = {{ include "minutelog.toml.value" $value }}
{{- end }}
{{- end }}
{{- else }}

[{{ $section }}]
{{- range $key, $value := $keys }}
{{ $key }} = {{ include "minutelog.toml.value" $value }}
{{- end }}
{{- end }}
{{- end }}
{{ end }}

{{/* How long a pod may take to end: the drain, then 30 s for requests in flight, and some to spare. */}}
{{- define "minutelog.gracePeriod" -}}
{{- if .Values.drain.enabled }}{{ add .Values.drain.timeoutSeconds 60 }}{{ else }}60{{ end }}
{{- end }}

{{- define "minutelog.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Both containers drain: the flusher must be there until the log is empty, and the second one to ask changes nothing. */}}
{{- define "minutelog.lifecycle" -}}
{{- if .Values.drain.enabled }}
lifecycle:
  preStop:
    exec:
      command: [minutelog, admin, drain, --timeout, "{{ .Values.drain.timeoutSeconds }}s"]
{{- end }}
{{- end }}

{{- define "minutelog.environment" -}}
- name: MINUTELOG_CONFIG
  value: /etc/minutelog/minutelog.toml
- name: MINUTELOG_LOG
  value: {{ .Values.logLevel | quote }}
{{- end }}

{{- define "minutelog.mounts" -}}
- name: data
  mountPath: /var/lib/minutelog
- name: config
  mountPath: /etc/minutelog/minutelog.toml
  subPath: minutelog.toml
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- end }}
