"""Our messages beside those of Triton's client, field by field; and the compiled ones beside their source."""

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from tritonclient.grpc import model_config_pb2, service_pb2

from everwarm_server.protocol.grpc_messages import DESCRIPTORS, POOL
from everwarm_server.protocol.not_offered import BY_METHOD

SOURCES = DESCRIPTORS.parent
OURS = POOL.FindFileByName("inference.proto")
OUR_CONFIG = POOL.FindFileByName("model_config.proto")
# What Triton's client does not know: of the Open Inference Protocol, and of KServe's client.
MORE = {
    "ModelMetadataResponse": {"properties"},
    "RepositoryModelLoadResponse": {"model_name", "isLoaded"},
    "RepositoryModelUnloadResponse": {"model_name", "isUnloaded"},
}
LESS = {"ModelStatistics": {"memory_usage", "response_stats"}}  # nothing here could fill them


def fields(message):
    return {
        field.name: (
            field.number,
            field.type,
            field.is_repeated,
            field.message_type and field.message_type.full_name,
            field.enum_type and field.enum_type.full_name,
            field.containing_oneof and field.containing_oneof.name,
        )
        for field in message.fields
    }


def all_messages(messages):
    for message in messages:
        yield message
        yield from all_messages(message.nested_types)


def of_triton(full_name):
    for file in (service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR):
        for message in all_messages(file.message_types_by_name.values()):
            if message.full_name == full_name:
                return message
    return None


@pytest.mark.parametrize(
    "message", list(all_messages(OURS.message_types_by_name.values())), ids=lambda message: message.full_name
)
def test_each_message_is_that_of_tritons_client(message):
    ours, theirs = fields(message), of_triton(message.full_name)
    if theirs is None:
        assert message.full_name in {"inference.NotOffered", "inference.ModelMetadataResponse.PropertiesEntry"}
        return
    more, less = MORE.get(message.name, set()), LESS.get(message.name, set())
    assert set(ours) - more == set(fields(theirs)) - less
    assert {name: field for name, field in ours.items() if name not in more} == {
        name: field for name, field in fields(theirs).items() if name not in less
    }


@pytest.mark.parametrize(
    "message", list(all_messages(OUR_CONFIG.message_types_by_name.values())), ids=lambda message: message.full_name
)
def test_what_we_tell_of_a_config_is_a_part_of_tritons(message):
    theirs = fields(of_triton(message.full_name))
    assert fields(message).items() <= theirs.items()


def test_the_datatypes_of_configs_are_tritons():
    ours, theirs = OUR_CONFIG.enum_types_by_name["DataType"], model_config_pb2.DataType.DESCRIPTOR
    assert [(value.name, value.number) for value in ours.values] == [(v.name, v.number) for v in theirs.values]


def test_each_method_is_that_of_tritons_client():
    def methods(service):
        return {
            method.name: (
                method.client_streaming,
                method.server_streaming,
                None if method.name in BY_METHOD else (method.input_type.full_name, method.output_type.full_name),
            )
            for method in service.methods
        }

    ours = OURS.services_by_name["GRPCInferenceService"]
    assert methods(ours) == methods(service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"])


def test_the_compiled_messages_are_those_of_their_source(tmp_path: Path) -> None:
    """`make proto` compiles them again."""
    names = sorted(path.name for path in SOURCES.glob("*.proto"))
    compiled = tmp_path / "descriptors.binpb"
    include = Path(protoc.__file__).parent / "_proto"
    arguments = [f"-I{SOURCES}", f"-I{include}", "--include_imports", f"--descriptor_set_out={compiled}", *names]
    assert protoc.main(["protoc", *arguments]) == 0
    shipped, made = (
        {file.name: file for file in descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file}
        for path in (DESCRIPTORS, compiled)
    )
    assert shipped == made
