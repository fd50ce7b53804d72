"""Writes images that a container runtime imports, from static programs alone: no base image is pulled.

In: paths of programs. Out: docker archives in a folder, one file per image, named after what is in them.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.build import KNATIVE, KNATIVE_PROGRAMS
from harness.paths import CACHE
from harness.shell import find

# Knative resolves no digests for dev.local; a tag other than `latest` keeps the pull policy at IfNotPresent.
HELLO = "dev.local/hello:1"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# A first process that sets no handler can't be ended by SIGTERM, and its pod would stay Terminating for minutes.
_SERVE = """
trap "exit 0" TERM
/bin/busybox mkdir -p /tmp/www
echo "hello from $K_REVISION" > /tmp/www/index.html
/bin/busybox httpd -f -p "${PORT:-8080}" -h /tmp/www &
wait
"""


@dataclass(frozen=True, slots=True)
class StaticImage:
    """An image of one layer: `files` maps a path in it to a file of this machine."""

    tag: str
    files: Mapping[str, Path]
    entrypoint: tuple[str, ...]
    user: str = "65532"


def all_images() -> tuple[StaticImage, ...]:
    """Returns the pause image, Knative's, and the `hello` of the harness' own tests."""
    busybox = {"bin/busybox": Path(find("busybox") or "/bin/busybox")}
    pause = StaticImage("everwarm.local/pause:1", busybox, ("/bin/busybox", "sleep", "1000000000"))
    hello = StaticImage(HELLO, busybox, ("/bin/busybox", "sh", "-c", _SERVE))
    return (pause, hello, *(_knative(name) for name in KNATIVE_PROGRAMS))


def knative_tag(program: str) -> str:
    """Returns the name under which the image of a program of Knative is imported."""
    return f"dev.local/knative-{program}:1"


def write_all() -> list[Path]:
    """Writes the images that are not in the cache yet, and returns the archives of all."""
    folder = CACHE / "images" / KNATIVE.folder.name
    folder.mkdir(parents=True, exist_ok=True)
    archives = []
    for image in all_images():
        contents = [image.tag, *image.entrypoint]
        key = hashlib.sha256("\0".join(contents).encode()).hexdigest()[:8]
        archive = folder / f"{image.tag.rpartition('/')[2].replace(':', '-')}-{key}.tar"
        if not archive.exists():
            staging = archive.with_suffix(".part")
            _write(image, staging)
            staging.rename(archive)
        archives.append(archive)
    return archives


def _knative(program: str) -> StaticImage:
    files = {f"app/{program}": KNATIVE.program(program), _CERTIFICATES.lstrip("/"): Path(_CERTIFICATES).resolve()}
    return StaticImage(knative_tag(program), files, (f"/app/{program}",))


def _write(image: StaticImage, path: Path) -> None:
    layer = _layer(image)
    configuration = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"User": image.user, "Entrypoint": list(image.entrypoint), "Env": ["PATH=/app:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": [image.tag], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as archive:
        _add(archive, "layer.tar", layer)
        _add(archive, "config.json", configuration)
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _layer(image: StaticImage) -> bytes:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for folder in ("app", "bin", "etc", "tmp", "proc", "sys", "dev"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            archive.addfile(info)
        for name, source in image.files.items():
            _add(archive, name, source.read_bytes())
    return layer.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o755
    archive.addfile(info, io.BytesIO(data))
