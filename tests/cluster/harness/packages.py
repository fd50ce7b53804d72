"""Debian's packages that the harness runs on: installed where they are missing, by apt and as root."""

import os

from harness.shell import find, run

# A program that each package brings: what is on PATH needs no package.
CLUSTER = {
    "busybox": "busybox-static",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "etcd": "etcd-server",
    "ip": "iproute2",
    "iptables": "iptables",
    "openssl": "openssl",
    "prometheus": "prometheus",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}
IMAGES = {"buildah": "buildah", "debootstrap": "debootstrap"}


def install(programs: dict[str, str]) -> list[str]:
    """Installs the packages of those `programs` that are missing, and returns their names."""
    missing = sorted({package for program, package in programs.items() if find(program) is None})
    if not missing:
        return []
    # RUNLEVEL=1 keeps the packages from starting daemons of their own.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    run(["apt-get", "update", "-q"], timeout_seconds=300, environment=environment)
    command = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing]
    run(command, timeout_seconds=900, environment=environment)
    return missing
