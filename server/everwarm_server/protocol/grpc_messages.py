"""The messages of proto/*.proto as classes. No generated code: `make proto` compiles them to descriptors.binpb.

They live in a descriptor pool of their own. tritonclient and kserve put messages of the same full names into the
default pool, which can't hold two: a model that imports one of them could not be served over gRPC otherwise. It also
keeps the project free of generated modules, which work with some versions of protobuf only.
"""

from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

DESCRIPTORS: Final = Path(__file__).parent / "proto" / "descriptors.binpb"
SERVICE: Final = "inference.GRPCInferenceService"


def _pool() -> Any:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL: Final = _pool()


def message_class(full_name: str) -> Any:
    """The class of a message.

    Raises:
        KeyError: there is none of that name.
    """
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(full_name))


InferRequestMessage: Final = message_class("inference.ModelInferRequest")
InferResponseMessage: Final = message_class("inference.ModelInferResponse")
InferTensorContents: Final = message_class("inference.InferTensorContents")
Status: Final = message_class("google.rpc.Status")
RetryInfo: Final = message_class("google.rpc.RetryInfo")
