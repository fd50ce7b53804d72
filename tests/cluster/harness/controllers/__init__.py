"""What a cluster has and this machine lacks: Knative's ingress by files for Envoy, and targets for Prometheus."""
