"""What containers leave behind: mounts, control groups, records. Removed once all of them have ended."""

import shutil
from functools import partial
from pathlib import Path

from harness.paths import RUN
from harness.processes import wait
from harness.shell import run

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_KUBELET = Path("/var/lib/kubelet")


def remove() -> None:
    """Removes them; each may be missing."""
    _unmount()
    for group in (*_CONTROL_GROUPS.glob("kubepods"), *_CONTROL_GROUPS.glob("*/kubepods")):
        _remove_group(group)
    sandboxes = {folder.name for folder in RUN.glob("containerd/*/io.containerd.grpc.v1.cri/sandboxes/*")}
    for record in Path("/var/lib/cni/results").glob("*"):
        if any(sandbox in record.name for sandbox in sandboxes):
            record.unlink()
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(RUN):
            link.unlink()
    # The kubelet puts its device plugins' socket here, whatever its root folder is.
    shutil.rmtree(_KUBELET / "device-plugins", ignore_errors=True)
    for folder in (_KUBELET, Path("/var/log/containers"), Path("/var/lib/cni/results"), Path("/var/lib/cni")):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _unmount() -> None:
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in sorted((point for point in points if Path(point).is_relative_to(RUN)), reverse=True):
        run(["umount", "--lazy", point])


def _remove_group(group: Path) -> None:
    """Removes a control group and those below it, deepest first; the kernel needs a moment after the last process."""
    for folder in (*sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True), group):
        wait(partial(_is_removed, folder), 2)


def _is_removed(group: Path) -> bool:
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
