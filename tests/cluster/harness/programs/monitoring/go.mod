module everwarm.dev/harness/monitoring

go 1.25.0

// The definitions of PodMonitor and PrometheusRule, which lie beside its code.
require github.com/prometheus-operator/prometheus-operator v0.85.0
