"""Certificates and kubeconfigs of the cluster, made by openssl for one run.

In: a folder. Out: there, NAME.crt and NAME.key of each party, the authority ca.crt, the service accounts' key, and
NAME.conf for those who call the API server.
"""

import base64
from pathlib import Path

import yaml

from harness.paths import API_SERVER, HOST_ADDRESS, KUBERNETES_SERVICE
from harness.shell import run

_KUBERNETES_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_API_NAMES = ",".join(
    [f"DNS:{name}" for name in _KUBERNETES_NAMES] + [f"IP:{HOST_ADDRESS}", f"IP:{KUBERNETES_SERVICE}", "IP:127.0.0.1"]
)
# Who gets a certificate: its subject, and its names where it serves.
PARTIES = {
    "api": ("/CN=kube-apiserver", _API_NAMES),
    "admin": ("/O=system:masters/CN=admin", "DNS:admin"),
    "controller-manager": ("/CN=system:kube-controller-manager", "DNS:controller-manager"),
    "scheduler": ("/CN=system:kube-scheduler", "DNS:scheduler"),
    "node": ("/O=system:nodes/CN=system:node:node1", f"DNS:node1,IP:{HOST_ADDRESS}"),
    "front-proxy": ("/CN=front-proxy-client", "DNS:front-proxy-client"),
}
CALLERS = ("admin", "controller-manager", "scheduler", "node")
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650")


def make(folder: Path) -> None:
    """Writes all keys, certificates and kubeconfigs into `folder`."""
    authority = ("-keyout", folder / "ca.key", "-out", folder / "ca.crt", "-subj", "/CN=everwarm-harness")
    run(["openssl", "req", "-x509", *_NEW_KEY, *authority])
    for name, (subject, names) in PARTIES.items():
        files = ("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt", "-subj", subject)
        signer = ("-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-addext", f"subjectAltName={names}")
        run(["openssl", "req", "-x509", *_NEW_KEY, *files, *signer, "-addext", "basicConstraints=critical,CA:FALSE"])
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "sa.key"])
    run(["openssl", "ec", "-in", folder / "sa.key", "-pubout", "-out", folder / "sa.pub"])
    for name in CALLERS:
        (folder / f"{name}.conf").write_text(_kubeconfig(folder, name))


def _kubeconfig(folder: Path, name: str) -> str:
    def encoded(file: str) -> str:
        return base64.b64encode((folder / file).read_bytes()).decode()

    cluster = {"server": API_SERVER, "certificate-authority-data": encoded("ca.crt")}
    user = {"client-certificate-data": encoded(f"{name}.crt"), "client-key-data": encoded(f"{name}.key")}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "harness", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "harness", "context": {"cluster": "harness", "user": name}}],
            "current-context": "harness",
        }
    )
