{{/* What the queries group by, taken from the labels that Knative gives a pod. */}}
{{- define "everwarm.knativeRelabelings" -}}
- {sourceLabels: [__meta_kubernetes_namespace], targetLabel: namespace_name}
- {sourceLabels: [__meta_kubernetes_pod_label_serving_knative_dev_service], targetLabel: service_name}
- {sourceLabels: [__meta_kubernetes_pod_label_serving_knative_dev_revision], targetLabel: revision_name}
- {sourceLabels: [__meta_kubernetes_pod_label_serving_knative_dev_configuration], targetLabel: configuration_name}
- {sourceLabels: [__meta_kubernetes_pod_name], targetLabel: pod_name}
{{- end -}}

{{/* Where models are: in the namespaces that are looked after. */}}
{{- define "everwarm.modelNamespaces" -}}
{{- if .Values.watchNamespaces -}}
matchNames:
  {{- toYaml .Values.watchNamespaces | nindent 2 }}
{{- else -}}
any: true
{{- end -}}
{{- end -}}

{{/* Metadata of a PodMonitor: a list of the root and the name's suffix. */}}
{{- define "everwarm.monitorMetadata" -}}
{{- $root := index . 0 -}}
name: {{ include "everwarm.fullname" $root }}-{{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "everwarm.labels" $root | nindent 2 }}
  {{- with $root.Values.monitoring.podMonitor.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
