{{/*
The calls that the operator makes, no more and no fewer. tests/contract/everwarm_operator/test_rights.py compares them with
its code. Create is what server-side apply of a service that is not there yet asks for.
*/}}
{{- define "everwarm.rules" -}}
- apiGroups: [everwarm.dev]
  resources: [modelservices]
  verbs: [list, watch]
- apiGroups: [everwarm.dev]
  resources: [modelservices/status]
  verbs: [patch]
- apiGroups: [serving.knative.dev]
  resources: [services]
  verbs: [list, watch, create, patch]
- apiGroups: [serving.knative.dev]
  resources: [revisions]
  verbs: [list, patch]
- apiGroups: [autoscaling.internal.knative.dev]
  resources: [podautoscalers]
  verbs: [list, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}
