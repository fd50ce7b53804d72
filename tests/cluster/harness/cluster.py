"""Brings the whole cluster up and down.

In: built programs and installed packages (`up` sees to both). Out: `up` returns when Knative admits a Service; `down`
leaves no process, mount, rule or address. A run that crashed is cleaned away by the next `up`.
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from harness import build, certificates, images, knative, leftovers, locks, network, packages, prometheus
from harness.components import Component, all_components, render
from harness.controllers import envoy_files
from harness.paths import CONTAINERD_SOCKET, KUBECONFIG, RUN
from harness.processes import Process, wait
from harness.shell import CommandFailed, run

READY_SECONDS = 60.0
_STARTED = RUN / "started.json"  # written last: a run without it is a crashed one

Say = Callable[[str], None]


class NotReady(RuntimeError):
    """A component did not become ready; the message ends with its log."""


def is_up() -> bool:
    """Returns whether a whole cluster runs."""
    return _STARTED.exists() and all(component.process.pid() for component in all_components().values())


def up(say: Say) -> bool:
    """Starts the cluster and returns True, or returns False where it runs already."""
    with locks.alone("cluster"):
        build_all(say)
        if is_up():
            return False
        if RUN.exists():
            say("cleaning up after a run that did not end well")
            _down()
        started = time.monotonic()
        _start(say)
        _STARTED.write_text(json.dumps({"pid": os.getpid(), "seconds": round(time.monotonic() - started, 1)}))
        return True


def down() -> bool:
    """Stops the cluster and returns True, or returns False where nothing is left of one."""
    with locks.alone("cluster"):
        found = RUN.exists()
        _down()
        return found


def build_all(say: Say) -> None:
    """Installs packages, builds programs, writes images: whatever is missing."""
    if installed := packages.install(packages.CLUSTER):
        say(f"installed {' '.join(installed)}")
    build.build_all(say)


def import_image(archive: Path) -> None:
    """Gives the cluster's container runtime the images of a docker archive."""
    run(["ctr", "-a", CONTAINERD_SOCKET, "-n", "k8s.io", "images", "import", archive], timeout_seconds=120)


def _start(say: Say) -> None:
    RUN.mkdir(parents=True)
    network.prepare()
    certificates.make(RUN)
    _write_configuration()
    components = all_components()
    for name in ("etcd", "apiserver", "containerd"):
        components[name].process.start(components[name].argv)
    archives = images.write_all()
    knative.write_manifests(RUN)
    for name in ("etcd", "containerd"):
        _await(components[name])
    for archive in archives:
        import_image(archive)
    _await(components["apiserver"])
    for component in components.values():
        component.process.start(component.argv)
    _apply("prometheus-service.yaml")
    knative.install()
    for component in components.values():
        _await(component)
    say("waiting for Knative")
    knative.wait_until_available(READY_SECONDS)


def _write_configuration() -> None:
    (RUN / "cni").mkdir()
    envoy_files.write(RUN / "xds", [], {})
    for name in ("containerd.toml", "Corefile", "kubelet.yaml", "kube-proxy.yaml"):
        (RUN / name).write_text(render(name))
    (RUN / "prometheus.yaml").write_text(prometheus.configuration())
    (RUN / "prometheus-service.yaml").write_text(render("prometheus-service.yaml"))
    (RUN / "cni" / "10-pods.conflist").write_text(render("pods.conflist"))
    # Envoy's reader knows no merge keys: it gets what they mean.
    (RUN / "envoy.yaml").write_text(json.dumps(yaml.safe_load(render("envoy.yaml"))))


def _apply(name: str) -> None:
    run([build.kubectl(), f"--kubeconfig={KUBECONFIG}", "apply", "--server-side", "-f", RUN / name])


def _await(component: Component) -> None:
    def settled() -> bool:
        return component.process.pid() is None or component.is_ready()

    settled_in_time = wait(settled, READY_SECONDS)
    if component.process.pid() is None or not settled_in_time:
        state = "ended" if component.process.pid() is None else f"was not ready in {READY_SECONDS:g} s"
        raise NotReady(f"{component.name} {state}:\n{component.process.last_words()}")


def _down() -> None:
    # Containers end before the runtime, and the API server after all that would complain of its absence.
    last = ("apiserver", "etcd", "containerd")
    names = [file.stem for file in RUN.glob("*.pid")]
    for name in names:
        if name not in last:
            Process(name, RUN).stop()
    _kill_containers()
    for name in last:
        Process(name, RUN).stop()
    leftovers.remove()
    network.restore()
    shutil.rmtree(RUN, ignore_errors=True)


def _kill_containers() -> None:
    """Ends what runs in containers, without the minutes that Knative's pods ask for.

    Containers outlive a containerd that crashed: it is started again to end them.
    """
    if not (RUN / "containerd.toml").exists():
        return
    containerd = all_components()["containerd"]
    containerd.process.start(containerd.argv)
    _await(containerd)
    ctr = ["ctr", "-a", str(CONTAINERD_SOCKET), "-n", "k8s.io"]
    for task in run([*ctr, "tasks", "ls", "-q"]).split():
        try:
            run([*ctr, "tasks", "rm", "--force", task], timeout_seconds=20)
        except CommandFailed:
            continue  # it ended by itself meanwhile


def describe() -> dict[str, str]:
    """Returns the state of each component by its name, for `status`."""
    return {
        name: f"process {pid}" if (pid := component.process.pid()) else "not running"
        for name, component in all_components().items()
    }
