"""The command line: `python -m harness packages | build | helm | up | down | status | image TARGET`."""

import argparse
import sys
import time

from harness import build, cluster, container_images, packages
from harness.paths import KUBECONFIG, LOCAL_INGRESS, PROMETHEUS, PUBLIC_INGRESS


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m harness", description=__doc__)
    parser.add_argument("command", choices=("packages", "build", "helm", "up", "down", "status", "image"))
    parser.add_argument("target", nargs="?", choices=container_images.TARGETS, help="of the Dockerfile, for `image`")
    arguments = parser.parse_args()
    command = arguments.command
    started = time.monotonic()
    if command == "packages":
        _say(f"installed {' '.join(packages.install({**packages.CLUSTER, **packages.IMAGES})) or 'nothing'}")
    elif command == "build":
        cluster.build_all(_say)
    elif command == "helm":
        print(build.build_helm(_say))
    elif command == "up":
        _say("up" if cluster.up(_say) else "already up: nothing done")
        _say(f"KUBECONFIG={KUBECONFIG}\nEnvoy {PUBLIC_INGRESS} (local hosts {LOCAL_INGRESS})\nPrometheus {PROMETHEUS}")
    elif command == "image":
        built = container_images.build(arguments.target or "server", _say)
        _say(f"{built.tag} {built.archive}")
    elif command == "down":
        _say("down" if cluster.down() else "nothing was up")
    else:
        for name, state in cluster.describe().items():
            _say(f"{name:20} {state}")
        return 0 if cluster.is_up() else 1
    _say(f"{time.monotonic() - started:.1f} s")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
