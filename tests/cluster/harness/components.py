"""The cluster's programs as data: how each is started, and how one sees that it is ready."""

import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from string import Template

import httpx

from harness.build import COREDNS, KUBERNETES, kubectl
from harness.paths import (
    CONFIG,
    CONTAINERD_SOCKET,
    ENVOY_ADMIN,
    ETCD,
    HARNESS,
    HOST_ADDRESS,
    KUBECONFIG,
    PROMETHEUS,
    RUN,
    SERVICE_RANGE,
    values,
)
from harness.processes import Process
from harness.shell import CommandFailed, find, run


@dataclass(frozen=True, slots=True)
class Component:
    """A program of the cluster, and the question whose yes means that it is ready."""

    name: str
    argv: tuple[str, ...]
    is_ready: Callable[[], bool]

    @property
    def process(self) -> Process:
        """Its process, running or not."""
        return Process(self.name, RUN)


def all_components() -> dict[str, Component]:
    """Returns the components in the order of their start."""
    components = (
        _etcd(),
        _api_server(),
        _kubernetes("controller-manager", "https://127.0.0.1:10257/healthz", _CONTROLLER_MANAGER),
        _kubernetes("scheduler", "https://127.0.0.1:10259/healthz", ("--leader-elect=false",)),
        _containerd(),
        _coredns(),
        _kubelet(),
        _kube_proxy(),
        _prometheus(),
        _envoy(),
        _controllers(),
    )
    return {component.name: component for component in components}


def render(name: str) -> str:
    """Returns the text of the file `name` under config/ with its placeholders filled in."""
    return Template((CONFIG / name).read_text()).safe_substitute(values())


_CONTROLLER_MANAGER = (
    "--leader-elect=false",
    "--service-account-private-key-file=sa.key",
    "--root-ca-file=ca.crt",
    "--use-service-account-credentials",
)


def _kubernetes(name: str, health: str, options: tuple[str, ...]) -> Component:
    argv = (str(KUBERNETES.program(f"kube-{name}")), f"--kubeconfig={name}.conf", "--bind-address=127.0.0.1", *options)
    return Component(name, argv, lambda: _answers(health))


def _etcd() -> Component:
    peer = f"http://{HOST_ADDRESS}:2380"
    argv = (
        _installed("etcd"),
        *("--data-dir", "etcd", "--unsafe-no-fsync"),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"),
        *("--listen-client-urls", ETCD, "--advertise-client-urls", ETCD),
    )
    return Component("etcd", argv, lambda: _answers(f"{ETCD}/health"))


def _api_server() -> Component:
    argv = (
        str(KUBERNETES.program("kube-apiserver")),
        f"--etcd-servers={ETCD}",
        *(f"--advertise-address={HOST_ADDRESS}", f"--bind-address={HOST_ADDRESS}", "--secure-port=6443"),
        *("--tls-cert-file=api.crt", "--tls-private-key-file=api.key", "--client-ca-file=ca.crt"),
        *("--authorization-mode=Node,RBAC", "--allow-privileged", f"--service-cluster-ip-range={SERVICE_RANGE}"),
        "--service-account-issuer=https://kubernetes.default.svc",
        *("--service-account-key-file=sa.pub", "--service-account-signing-key-file=sa.key"),
        *("--kubelet-client-certificate=admin.crt", "--kubelet-client-key=admin.key"),
        "--kubelet-preferred-address-types=InternalIP",
        *("--requestheader-client-ca-file=ca.crt", "--requestheader-allowed-names=front-proxy-client"),
        *("--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group"),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        *("--proxy-client-cert-file=front-proxy.crt", "--proxy-client-key-file=front-proxy.key"),
        "--enable-aggregator-routing",
    )
    return Component("apiserver", argv, lambda: _kubectl_says("ok", "get", "--raw", "/readyz"))


def _containerd() -> Component:
    argv = (_installed("containerd"), "--config", "containerd.toml")
    return Component("containerd", argv, lambda: _succeeds("ctr", "-a", str(CONTAINERD_SOCKET), "version"))


def _coredns() -> Component:
    argv = (str(COREDNS.program("coredns")), "-conf", "Corefile")
    return Component("coredns", argv, lambda: _connects(HOST_ADDRESS, 53))


def _kubelet() -> Component:
    argv = (
        str(KUBERNETES.program("kubelet")),
        *("--config=kubelet.yaml", "--kubeconfig=node.conf", "--hostname-override=node1"),
        *(f"--node-ip={HOST_ADDRESS}", f"--root-dir={RUN}/kubelet"),
    )
    path = "{.status.conditions[?(@.type=='Ready')].status}"
    return Component("kubelet", argv, lambda: _kubectl_says("True", "get", "node", "node1", "-o", f"jsonpath={path}"))


def _kube_proxy() -> Component:
    argv = (str(KUBERNETES.program("kube-proxy")), "--config=kube-proxy.yaml")
    return Component("kube-proxy", argv, lambda: _answers(f"http://{HOST_ADDRESS}:10249/healthz"))


def _prometheus() -> Component:
    argv = (
        _installed("prometheus"),
        *("--config.file=prometheus.yaml", "--storage.tsdb.path=prometheus-data", "--storage.tsdb.retention.time=1d"),
        f"--web.listen-address={PROMETHEUS.removeprefix('http://')}",
    )
    return Component("prometheus", argv, lambda: _answers(f"{PROMETHEUS}/-/ready"))


def _envoy() -> Component:
    argv = (
        _envoy_binary(),
        "-c",
        "envoy.yaml",
        "--concurrency",
        "2",
        "--log-level",
        "warning",
        "--disable-hot-restart",
    )
    return Component("envoy", argv, lambda: _answers(f"{ENVOY_ADMIN}/ready"))


def _controllers() -> Component:
    argv = ("env", f"PYTHONPATH={HARNESS.parent}", sys.executable, "-m", "harness.controllers", str(RUN))
    return Component("controllers", argv, lambda: (RUN / "xds" / "synchronized").exists())


def _envoy_binary() -> str:
    return str(files("envoy") / "_bin" / "envoy")  # the binary in the wheel; its `envoy` command is a script around it


def _installed(program: str) -> str:
    return find(program) or program


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, verify=False, timeout=2).is_success
    except httpx.HTTPError:
        return False


def _succeeds(*argv: str) -> bool:
    try:
        run(argv, timeout_seconds=5)
    except CommandFailed:
        return False
    return True


def _kubectl_says(expected: str, *arguments: str) -> bool:
    try:
        return run([kubectl(), f"--kubeconfig={KUBECONFIG}", *arguments], timeout_seconds=5).strip() == expected
    except CommandFailed:
        return False


def _connects(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
