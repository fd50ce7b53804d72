"""A real one-node Kubernetes with Knative Serving, Envoy and Prometheus, as processes of one Linux machine.

In: Go and apt, once, to build and install the programs. Out: `python -m harness up` leaves a cluster
whose kubeconfig it prints; `down` leaves nothing. No Docker, no image registry.
"""
