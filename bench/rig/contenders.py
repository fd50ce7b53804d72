"""The servers that bench/serving.py compares: what each serves, and how it is started."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.rig import environments

PEERS: Final = Path(__file__).resolve().parents[1] / "peers"
LIMIT: Final = "bare ASGI"
OURS: Final = "everwarm"


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A server.

    Attributes:
        name: as the table calls it.
        models: what it serves.
        binary: whether it knows the binary tensors of V2.
        grpc: whether it knows V2 over gRPC.
        requirements: of an environment of its own; none: it runs in that of the bench.
        arguments: of its Python; {port}, {grpc_port} and {cache} are filled in.
        environment: variables, filled in the same way.
    """

    name: str
    models: frozenset[str]
    binary: bool
    requirements: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    grpc: bool = False

    def command(self, port: int, grpc_port: int) -> tuple[list[str], dict[str, str]]:
        """The command and its environment; installs what is missing."""
        python = environments.python_of(self.name, self.requirements) if self.requirements else Path(sys.executable)
        known = {"port": str(port), "grpc_port": str(grpc_port), "cache": str(environments.cache_directory())}
        variables = {name: value.format(**known) for name, value in self.environment.items()}
        variables["PATH"] = f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"
        return [str(python), *(argument.format(**known) for argument in self.arguments)], variables


def _everwarm(name: str, uri: str, model: str) -> Contender:
    arguments = ("-m", "everwarm_server", "--model-uri", uri, "--model-name", model, "--port", "{port}")
    environment = {"PYTHONPATH": str(PEERS), "EVERWARM_DRAIN_SECONDS": "0", "EVERWARM_GRPC_PORT": "{grpc_port}"}
    return Contender(name, frozenset({model}), True, (), arguments, environment, grpc=True)


_BOTH: Final = frozenset({"mlp", "image"})
CONTENDERS: Final = (
    Contender(LIMIT, _BOTH, True, (), (str(PEERS / "bare_asgi.py"), "{port}"), {}),
    _everwarm(OURS, str(PEERS / "everwarm" / "mlp"), "mlp"),
    _everwarm(OURS, str(PEERS / "everwarm" / "image"), "image"),
    _everwarm(f"{OURS} (ONNX)", "{cache}/onnx-mlp", "mlp"),
    Contender(
        "KServe",
        _BOTH,
        True,
        ("kserve==0.21.0",),
        (str(PEERS / "kserve_models.py"), "{port}", "{grpc_port}"),
        {},
        grpc=True,
    ),
    Contender(
        "MLServer",
        _BOTH,
        False,  # its REST answers 422
        ("mlserver==1.7.1", "uvloop<0.22"),  # its workers crash in a loop with a newer uvloop
        ("-m", "mlserver.cli.main", "start", str(PEERS / "mlserver")),
        {
            "PYTHONPATH": str(PEERS),
            "MLSERVER_HTTP_PORT": "{port}",
            "MLSERVER_GRPC_PORT": "{grpc_port}",
            "MLSERVER_METRICS_PORT": "0",
            "MLSERVER_METRICS_DIR": "{cache}",
        },
        grpc=True,
    ),
)
