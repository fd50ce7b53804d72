"""KServe's own clients on a real server. They live in an environment of their own, the one that the bench has, too."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.rig import environments
from google.protobuf import descriptor_pb2

from everwarm_server.protocol.grpc_messages import POOL

pytestmark = pytest.mark.timeout(600)  # the first run installs KServe
A = np.arange(32, dtype=np.int32).reshape(2, 16)
SUMS = {"OUTPUT0": (A + 1).tolist(), "OUTPUT1": (A - 1).tolist()}
ROWS = [dict(zip(SUMS, row, strict=True)) for row in zip(*SUMS.values(), strict=True)]
EVENT = ["io.kserve.inference.simple", "io.kserve.inference.response", {"predictions": ROWS[:1]}]
# In KServe's messages these have another meaning: see RepositoryModelLoadRequest in inference.proto.
OTHER = {"RepositoryModelLoadRequest", "RepositoryModelUnloadRequest"}


@pytest.fixture(scope="module")
def answers(server: Any) -> dict[str, Any]:
    python = environments.python_of("KServe", ("kserve==0.21.0",))
    command = [str(python), str(Path(__file__).with_name("kserve_client.py")), server.address, server.grpc_address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("v1 live", True),
        ("v1 model ready", True),
        ("v1 rows", {"predictions": ROWS}),
        ("event binary", EVENT),
        ("event structured", EVENT),
        ("v2 live", True),
        ("v2 ready", True),
        ("v2 model ready", True),
        ("v2 json", ["42", SUMS]),
        ("v2 binary", ["42", SUMS]),
        ("v2 one binary output", ["42", {"OUTPUT1": SUMS["OUTPUT1"]}]),
        ("grpc live", True),
        ("grpc ready", True),
        ("grpc model ready", True),
        ("grpc typed", ["42", SUMS]),
        ("grpc raw", ["42", SUMS]),
        ("grpc unloaded", ["image", True]),
        ("grpc loaded", ["image", True]),
    ],
)
def test_they_get_what_they_ask_for(answers: dict[str, Any], asked: str, answer: Any) -> None:
    assert answers[asked] == answer


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        ("v1 explain", ["501", "Models here have no explainers"]),
        ("v2 unknown", ["404", "Request for unknown model 'stranger'"]),
        ("grpc unknown", ["NOT_FOUND", "Request for unknown model 'stranger'"]),
    ],
)
def test_they_understand_our_errors(answers: dict[str, Any], asked: str, parts: list[str]) -> None:
    assert all(part in answers[asked] for part in parts), answers[asked]


def test_their_messages_are_a_part_of_ours(answers: dict[str, Any]) -> None:
    theirs = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(answers["messages"]))

    def fields(message: Any) -> set[Any]:
        nested = {(message.name, *each) for inner in message.nested_type for each in fields(inner)}
        return nested | {(message.name, f.name, f.number, f.type, f.label, f.type_name) for f in message.field}

    ours = descriptor_pb2.FileDescriptorProto()
    POOL.FindFileByName("inference.proto").CopyToProto(ours)
    known = {message.name: fields(message) for message in ours.message_type}
    assert {m.name for m in theirs.message_type} <= known.keys()
    for message in theirs.message_type:
        if message.name not in OTHER:
            assert fields(message) <= known[message.name], message.name
    methods = {(m.name, m.input_type, m.output_type) for m in ours.service[0].method}
    assert {(m.name, m.input_type, m.output_type) for m in theirs.service[0].method} <= methods
