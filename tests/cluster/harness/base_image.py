"""Makes what the Dockerfile's images stand on, by debootstrap: as Debian's slim image, which a registry would have."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from harness.paths import CACHE
from harness.shell import run

_SUITE = "bookworm"
_MIRROR = "http://deb.debian.org/debian"
# Debian's own slim image leaves these out, and keeps apt from leaving archives and indexes behind.
_LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale")
_REMOVE = "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"
_FILES = {
    "etc/dpkg/dpkg.cfg.d/docker": "".join(f"path-exclude /{folder}/*\n" for folder in _LEFT_OUT),
    "etc/apt/apt.conf.d/docker-clean": f'DPkg::Post-Invoke {{ "{_REMOVE}"; }};\n'
    f'APT::Update::Post-Invoke {{ "{_REMOVE}"; }};\n'
    'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n',
}


def make(buildah: Callable[..., str], say: Callable[[str], None]) -> str:
    """Returns the name of the image in the storage of `buildah`, made if it is not there."""
    key = hashlib.sha256(f"{_SUITE}{_LEFT_OUT}{_FILES}".encode()).hexdigest()[:8]
    name = f"localhost/everwarm-base:{key}"
    if name in buildah("images", "--format", "{{.Name}}:{{.Tag}}").split():
        return name
    say("making the base image (a minute, once)")
    root = CACHE / "base"
    shutil.rmtree(root, ignore_errors=True)
    run(["debootstrap", "--variant=minbase", _SUITE, root, _mirror()], timeout_seconds=600)
    _slim(root)
    container = buildah("from", "scratch").strip()
    buildah("add", "--quiet", container, str(root), "/")
    buildah("config", "--cmd", "bash", container)
    buildah("commit", "--quiet", "--rm", container, name)
    shutil.rmtree(root)
    return name


def _slim(root: Path) -> None:
    for name in (*_LEFT_OUT, "var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(root / name, ignore_errors=True)
    for name in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
        (root / name).mkdir(parents=True)
    for name, text in _FILES.items():
        (root / name).write_text(text)


def _mirror() -> str:
    """Returns the Debian mirror that this machine's own apt uses, or Debian's."""
    for file in (*Path("/etc/apt/sources.list.d").glob("*"), Path("/etc/apt/sources.list")):
        text = file.read_text(errors="replace") if file.is_file() else ""
        for word in text.split():
            if word.startswith("http") and word.rstrip("/").endswith("/debian") and "snapshot" not in word:
                return word
    return _MIRROR
