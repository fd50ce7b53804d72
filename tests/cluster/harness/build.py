"""Builds the cluster's Go programs from the module proxy, each set once per version.

In: programs/NAME/{go.mod,go.sum,tools.go}. Out: CACHE/programs/NAME-KEY/, whose key is a hash of those files, the
linker flags and the compiler, so that it is built again only on change. About ten minutes on two cores with nothing
cached.
"""

import functools
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import locks
from harness.paths import CACHE, HARNESS
from harness.shell import find, run

BUILD_SECONDS = 2400


@dataclass(frozen=True, slots=True)
class ProgramSet:
    """Programs of one Go module: its folder under programs/, the packages to build, and the linker's flags."""

    name: str
    module: str
    packages: tuple[str, ...]
    linker_flags: str = ""

    @property
    def source(self) -> Path:
        """The folder of its go.mod."""
        return HARNESS / "programs" / self.module

    @property
    def folder(self) -> Path:
        """Where its programs are, or will be."""
        digest = hashlib.sha256()
        for file in ("go.mod", "go.sum", "tools.go"):
            digest.update((self.source / file).read_bytes())
        digest.update("\0".join((*self.packages, self.linker_flags, go_version())).encode())
        return CACHE / "programs" / f"{self.name}-{digest.hexdigest()[:12]}"

    def program(self, name: str) -> Path:
        """The path of one of its programs."""
        return self.folder / name


KUBERNETES_VERSION = "1.34.4"
_VERSION = "k8s.io/component-base/version"
_FLAGS = f"-X {_VERSION}.gitVersion=v{KUBERNETES_VERSION} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=34"
KUBERNETES = ProgramSet(
    name="kubernetes",
    module="kubernetes",
    packages=tuple(
        f"k8s.io/kubernetes/cmd/{name}"
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
    ),
    linker_flags=_FLAGS,
)
# Only for a machine that has none.
KUBECTL = ProgramSet("kubectl", "kubernetes", ("k8s.io/kubernetes/cmd/kubectl",), _FLAGS)
KNATIVE_PROGRAMS = ("controller", "webhook", "autoscaler", "activator", "queue")
KNATIVE = ProgramSet("knative", "knative", tuple(f"knative.dev/serving/cmd/{name}" for name in KNATIVE_PROGRAMS))
COREDNS = ProgramSet("coredns", "coredns", ("github.com/coredns/coredns",))
# Only for a machine that has none. `helm template` takes the cluster to be of the version that its libraries are.
_HELM = "helm.sh/helm/v3"
HELM = ProgramSet(
    name="helm",
    module="helm",
    packages=(f"{_HELM}/cmd/helm",),
    linker_flags=f"-X {_HELM}/internal/version.version=v3.22.0"
    f" -X {_HELM}/pkg/chartutil.k8sVersionMajor=1 -X {_HELM}/pkg/chartutil.k8sVersionMinor=37"
    f" -X {_HELM}/pkg/lint/rules.k8sVersionMajor=1 -X {_HELM}/pkg/lint/rules.k8sVersionMinor=37",
)


@functools.cache
def go_version() -> str:
    """Returns the version of the Go compiler on PATH, as it says it."""
    return run(["go", "env", "GOVERSION"]).strip()


def build_all(say: Callable[[str], None]) -> None:
    """Builds each set that is missing; `say` hears what takes long."""
    own_kubectl = () if find("kubectl") else (KUBECTL,)
    for programs in (KUBERNETES, KNATIVE, COREDNS, *own_kubectl):
        _build_once(programs, say)


def build_helm(say: Callable[[str], None]) -> str:
    """Returns the path of helm: this machine's, or one that is built here if it was not before."""
    if not find("helm"):
        with locks.alone("helm"):
            _build_once(HELM, say)
    return _helm()


def found_helm() -> str | None:
    """Returns the path of helm where this machine has it or it was built here, else None."""
    return find("helm") or (_helm() if find("go") and HELM.program("helm").exists() else None)


def _helm() -> str:
    return find("helm") or str(HELM.program("helm"))


@functools.cache
def kubectl() -> str:
    """Returns the path of kubectl: this machine's, or the one built here."""
    return find("kubectl") or str(KUBECTL.program("kubectl"))


def module_folder(programs: ProgramSet, module: str) -> Path:
    """Returns the folder of a Go `module` in the module cache, at the version that `programs` are built from."""
    return Path(run(["go", "list", "-m", "-f", "{{.Dir}}", module], cwd=programs.source).strip())


def _build_once(programs: ProgramSet, say: Callable[[str], None]) -> None:
    if not programs.folder.exists():
        say(f"building {programs.name} (minutes, once)")
        _build(programs)


def _build(programs: ProgramSet) -> None:
    # Without cgo a program is static: the same file runs on the host and in an image made from nothing.
    environment = {**os.environ, "CGO_ENABLED": "0"}
    staging = programs.folder.with_suffix(f".{os.getpid()}")
    staging.mkdir(parents=True)
    try:
        flags = f"-ldflags=-s -w {programs.linker_flags}"
        command = ["go", "build", flags, "-o", f"{staging}/", *programs.packages]
        run(command, cwd=programs.source, environment=environment, timeout_seconds=BUILD_SECONDS)
        staging.rename(programs.folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    for old in programs.folder.parent.glob(f"{programs.name}-*"):
        if old != programs.folder:
            shutil.rmtree(old)
