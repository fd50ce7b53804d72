"""Where the harness keeps things, and the addresses that its parts meet at.

The cache outlives a checkout (EVERWARM_CLUSTER_CACHE moves it); `run/` inside it is the state of the running cluster.
"""

import os
from pathlib import Path

HARNESS = Path(__file__).resolve().parent
ROOT = HARNESS.parents[2]
CONFIG = HARNESS / "config"

CACHE = Path(os.environ.get("EVERWARM_CLUSTER_CACHE") or Path.home() / ".cache" / "everwarm" / "cluster")
RUN = CACHE / "run"
KUBECONFIG = RUN / "admin.conf"
CONTAINERD_SOCKET = RUN / "containerd.sock"

# Two addresses of the loopback device, outside every range that machines commonly have: pods reach them through their
# bridge, and nothing outside the machine does.
HOST_ADDRESS = "10.99.0.1"  # API server, etcd, DNS, Prometheus, and Envoy for the hosts that are public
LOCAL_ADDRESS = "10.99.0.2"  # Envoy for the hosts that only the cluster may call
SERVICE_RANGE = "10.96.0.0/16"
KUBERNETES_SERVICE = "10.96.0.1"
POD_RANGE = "10.244.0.0/24"
BRIDGE = "everwarm0"

API_SERVER = f"https://{HOST_ADDRESS}:6443"
ETCD = f"http://{HOST_ADDRESS}:2379"
PROMETHEUS = f"http://{HOST_ADDRESS}:9090"
PUBLIC_INGRESS = f"http://{HOST_ADDRESS}:80"
LOCAL_INGRESS = f"http://{LOCAL_ADDRESS}:80"
ENVOY_ADMIN = f"http://{HOST_ADDRESS}:9901"


def values() -> dict[str, str]:
    """Returns what the files under config/ may name as `${NAME}`."""
    return {
        "RUN": str(RUN),
        "HOST_ADDRESS": HOST_ADDRESS,
        "LOCAL_ADDRESS": LOCAL_ADDRESS,
        "POD_RANGE": POD_RANGE,
        "BRIDGE": BRIDGE,
        "CONTAINERD_SOCKET": str(CONTAINERD_SOCKET),
    }
