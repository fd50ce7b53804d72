{{/* The chart's name, or what takes its place. */}}
{{- define "everwarm.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The prefix of all names: the release's name where it says what it is, else both. 50 characters leave room for a suffix. */}}
{{- define "everwarm.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "everwarm.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "everwarm.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The name of the operator's objects. */}}
{{- define "everwarm.operator" -}}
{{- include "everwarm.fullname" . }}-operator
{{- end -}}

{{/* The name of the Lease, and of the right to it: the operator's own, which may also stand in a watched namespace. */}}
{{- define "everwarm.lease" -}}
{{- include "everwarm.fullname" . }}-leader
{{- end -}}

{{- define "everwarm.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "everwarm.operator" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* What the Deployment selects by: never changes, for a Deployment's selector can't. */}}
{{- define "everwarm.selectorLabels" -}}
app.kubernetes.io/name: {{ include "everwarm.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* Labels of every object. */}}
{{- define "everwarm.labels" -}}
app.kubernetes.io/name: {{ include "everwarm.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of the operator's objects. */}}
{{- define "everwarm.operatorLabels" -}}
{{ include "everwarm.labels" . }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* An image: a list of its values and of the version that counts where they name none. */}}
{{- define "everwarm.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default (index . 1)) -}}
{{- end -}}
{{- end -}}

{{/* The first of Prometheus' URLs. */}}
{{- define "everwarm.prometheusUrl" -}}
{{- first (splitList "," .Values.prometheus.url) | trimSuffix "/" -}}
{{- end -}}

{{/* The port of that URL. */}}
{{- define "everwarm.prometheusPort" -}}
{{- $url := urlParse (include "everwarm.prometheusUrl" .) -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}
