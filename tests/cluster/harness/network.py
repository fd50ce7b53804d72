"""The machine's network around the cluster: what is added for a run, and what is taken away after it.

Taken away by what marks it as Kubernetes': chains named KUBE-* and CNI-*, the harness' bridge, its two addresses. A
machine on which another kubelet runs outside of containers is not one for this harness.
"""

from pathlib import Path

from harness.paths import BRIDGE, HOST_ADDRESS, LOCAL_ADDRESS, RUN
from harness.shell import CommandFailed, find, run

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_REMEMBERED = RUN / "ip_forward.before"


def prepare() -> None:
    """Adds the addresses that the components listen on, and remembers whether the machine forwarded packets."""
    for address in (HOST_ADDRESS, LOCAL_ADDRESS):
        if f" {address}/" not in run(["ip", "address", "show", "dev", "lo"]):
            run(["ip", "address", "add", f"{address}/32", "dev", "lo"])
    if not _REMEMBERED.exists():
        _REMEMBERED.write_text(_FORWARDING.read_text())


def restore() -> None:
    """Removes addresses, bridge and rules; each may be missing."""
    for save, load in (("iptables-save", "iptables-restore"), ("ip6tables-save", "ip6tables-restore")):
        _drop_rules(save, load)
    for command in (
        ["ip", "link", "delete", BRIDGE],
        ["ip", "address", "delete", f"{HOST_ADDRESS}/32", "dev", "lo"],
        ["ip", "address", "delete", f"{LOCAL_ADDRESS}/32", "dev", "lo"],
    ):
        try:
            run(command)
        except CommandFailed:
            continue  # it was not there
    if _REMEMBERED.exists():
        _FORWARDING.write_text(_REMEMBERED.read_text())


def _drop_rules(save: str, load: str) -> None:
    if find(save) is None:
        return
    before = run([find(save) or save]).splitlines(keepends=True)
    after = [line for line in before if "KUBE-" not in line and "CNI-" not in line]
    if after != before:
        run([find(load) or load], stdin="".join(after))
