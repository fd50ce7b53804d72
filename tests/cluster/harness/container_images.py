"""Builds the project's images from its Dockerfile where there is no Docker and no registry.

In: the Dockerfile and what it copies. Out: docker archives in the cache, one per target, named by a hash of those
inputs, so that nothing is built twice. The base image is made by debootstrap, once, under the name that the Dockerfile
asks for. What this machine needs (its certificate authorities, its package index) is mounted into the build.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import base_image, locks, packages
from harness.paths import CACHE, ROOT
from harness.shell import run

TARGETS = ("server", "digits", "operator")
_INPUTS = (
    "Dockerfile",
    ".dockerignore",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "server",
    "operator",
    "examples/digits",
)
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_AUTHORITIES_THERE = "/run/authorities.crt"
BUILD_SECONDS = 1200
_KEY_CHARACTERS = 12
_MOST_STORAGE_MB = 10_000
SLOW_DIGITS = ROOT / "tests" / "cluster" / "slow_digits"


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image as an archive that a container runtime imports, and the name that it gives it."""

    tag: str
    archive: Path


def build(target: str, say: Callable[[str], None]) -> BuiltImage:
    """Returns the image of a `target` of the Dockerfile, built if its inputs changed."""
    return _cached(target, ROOT, _INPUTS, None, say)


def build_slow(base: BuiltImage, say: Callable[[str], None]) -> BuiltImage:
    """Returns `base`, the image `digits`, with the model whose inference takes a fixed time (slow_digits/)."""
    return _cached("slow-digits", SLOW_DIGITS, ("Dockerfile", "model"), base, say)


def _cached(
    name: str, folder: Path, inputs: tuple[str, ...], base: BuiltImage | None, say: Callable[[str], None]
) -> BuiltImage:
    key = _key(folder, inputs, base)
    built = BuiltImage(f"dev.local/everwarm-{name}:{key}", CACHE / "images" / f"everwarm-{name}-{key}.tar")
    if built.archive.exists():
        return built
    if installed := packages.install(packages.IMAGES):
        say(f"installed {' '.join(installed)}")
    with locks.alone("images"):
        try:
            _forget_what_grew_too_large(say)
            base_name = base_image.make(buildah, say) if base is None else _present(base)
            say(f"building the image {name}")
            _build(built, name, folder, base_name)
        finally:
            buildah("rm", "--all")  # what a failed step left
            _unmount()
    return built


def _present(base: BuiltImage) -> str:
    """Returns the name of an image that was built before, put back into buildah's storage where it was dropped."""
    if base.tag not in buildah("images", "--format", "{{.Name}}:{{.Tag}}").split():
        buildah("pull", "--quiet", f"docker-archive:{base.archive}")
    return base.tag


def _build(built: BuiltImage, name: str, folder: Path, base_name: str) -> None:
    target = ("--target", name) if name in TARGETS else ()
    options = ("--isolation", "chroot", "--pull=never", "--layers", "--build-arg", f"BASE_IMAGE={base_name}")
    buildah("build", *_mounts(), *options, *target, "--tag", built.tag, str(folder))
    built.archive.parent.mkdir(parents=True, exist_ok=True)
    staging = built.archive.with_suffix(".part")
    staging.unlink(missing_ok=True)
    buildah("push", built.tag, f"docker-archive:{staging}:{built.tag}")
    for old in built.archive.parent.glob(f"everwarm-{name}-{'?' * _KEY_CHARACTERS}.tar"):
        old.unlink()
    staging.rename(built.archive)


def _key(folder: Path, inputs: tuple[str, ...], base: BuiltImage | None) -> str:
    """Returns a hash of the names and contents of what a Dockerfile copies, and of the image it stands on."""
    digest = hashlib.sha256(base.tag.encode() if base else b"")
    for name in inputs:
        path = folder / name
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(folder)}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:_KEY_CHARACTERS]


def _forget_what_grew_too_large(say: Callable[[str], None]) -> None:
    """Drops all layers once they take more than 10 GB: old ones can't be told from those that are still of use."""
    storage = CACHE / "buildah"
    if storage.exists() and int(run(["du", "-sm", storage], timeout_seconds=120).split()[0]) > _MOST_STORAGE_MB:
        say("dropping the image layers of earlier builds")
        buildah("rmi", "--all", "--force")


def _mounts() -> list[str]:
    """Returns buildah's options for a pip that trusts whom this machine trusts and asks whom it asks."""
    if not _AUTHORITIES.exists():
        return []
    settings = run([sys.executable, "-m", "pip", "config", "list"]) if _has_pip() else ""
    lines = ["[global]", f"cert = {_AUTHORITIES_THERE}"]
    for line in settings.splitlines():
        name, _, value = line.partition("=")
        if name in {"global.index-url", "global.extra-index-url", "global.trusted-host"}:
            lines.append(f"{name.removeprefix('global.')} = {value.strip(chr(39))}")
    configuration = CACHE / "pip.conf"
    configuration.write_text("\n".join(lines) + "\n")
    return ["-v", f"{_AUTHORITIES}:{_AUTHORITIES_THERE}:ro", "-v", f"{configuration}:/etc/pip.conf:ro"]


def _has_pip() -> bool:
    return (Path(sys.executable).parent / "pip").exists()


def _unmount() -> None:
    """Undoes the mount that the overlay driver makes of its own folder and keeps."""
    mounted = CACHE / "buildah" / "overlay"
    if mounted.is_mount():
        run(["umount", mounted])


def buildah(*arguments: str) -> str:
    """Runs buildah on the cache's own storage and returns its standard output."""
    storage = ("--root", CACHE / "buildah", "--runroot", CACHE / "buildah-run")
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    return run(["buildah", *storage, *arguments], timeout_seconds=BUILD_SECONDS, environment=environment)
