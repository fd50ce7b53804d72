import asyncio
import subprocess
import sys

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from tritonclient.grpc import service_pb2

from everwarm_server.errors import DeadlineExceeded, Overloaded
from everwarm_server.protocol.not_offered import BY_METHOD
from everwarm_server.transport.grpc.status import status

CHECK = "/grpc.health.v1.Health/Check"
TOKEN = [("authorization", "Bearer secret")]


async def code_of(call):
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


def health(calls, service, **more):
    request = health_pb2.HealthCheckRequest(service=service)
    return calls.unary(CHECK, request, health_pb2.HealthCheckResponse, **more)


def test_when_to_try_again_is_said_in_both_ways_that_clients_know():
    trailers = dict(status(Overloaded("Full.", 2.5)).trailers)
    assert trailers["grpc-retry-pushback-ms"] == "2500"
    details = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    assert (details.code, details.message) == (grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], "Full.")
    info = error_details_pb2.RetryInfo()
    assert details.details[0].Unpack(info)
    assert info.retry_delay.ToMilliseconds() == 2500


def test_nothing_is_said_of_when_where_nobody_knows():
    assert status(DeadlineExceeded("Late.")).trailers == ()


async def test_without_the_token_only_health_is_told(serve, request_of):
    live = service_pb2.ServerLiveRequest()
    async with serve(b"secret") as calls:
        assert await code_of(calls.infer(request_of())) == "UNAUTHENTICATED"
        assert await code_of(calls.infer(request_of(), metadata=[("authorization", "Bearer wrong")])) == (
            "UNAUTHENTICATED"
        )
        assert await code_of(calls.infer(request_of(), metadata=TOKEN * 2)) == "UNAUTHENTICATED"
        assert await code_of(calls.infer(request_of(), metadata=TOKEN)) == "OK"
        assert await code_of(calls.unary("ServerLive", live, service_pb2.ServerLiveResponse)) == "OK"
        assert await code_of(health(calls, "m")) == "OK"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await calls.stream(iter([request_of()])).read()
    assert caught.value.code().name == "UNAUTHENTICATED"
    assert "authorization: Bearer TOKEN" in caught.value.details()


async def test_to_load_a_model_takes_the_token_of_management_where_there_is_one(serve, request_of):
    load = service_pb2.RepositoryModelLoadRequest(model_name="m")
    answer = service_pb2.RepositoryModelLoadResponse
    for tokens, given, code in (
        ((None, b"secret"), [], "UNAUTHENTICATED"),
        ((None, b"secret"), TOKEN, "OK"),
        ((b"other", b"secret"), TOKEN, "OK"),
        ((b"secret", b"other"), TOKEN, "UNAUTHENTICATED"),
        ((b"secret", None), TOKEN, "OK"),
    ):
        async with serve(*tokens) as calls:
            assert await code_of(calls.unary("RepositoryModelLoad", load, answer, metadata=given)) == code
    async with serve(None, b"secret") as calls:
        assert await code_of(calls.infer(request_of())) == "OK"


@pytest.mark.parametrize(
    ("service", "server_ready", "model_ready", "status"),
    [
        ("", True, True, "SERVING"),
        ("", False, True, "NOT_SERVING"),
        ("inference.GRPCInferenceService", False, True, "NOT_SERVING"),
        ("liveness", False, False, "SERVING"),
        ("m", True, True, "SERVING"),
        ("m/1", True, True, "SERVING"),
        ("m", True, False, "NOT_SERVING"),
    ],
)
async def test_health_of_the_server_and_of_each_model(serve, repository, service, server_ready, model_ready, status):
    repository.is_ready, repository.plane.ready = server_ready, model_ready
    async with serve() as calls:
        answer = await health(calls, service)
    assert health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status) == status


@pytest.mark.parametrize("service", ["other", "m/2"])
async def test_the_health_of_a_stranger_is_not_found(serve, service):
    async with serve() as calls:
        assert await code_of(health(calls, service)) == "NOT_FOUND"


async def test_who_watches_is_told_each_change_until_the_end(serve, repository):
    closing = asyncio.Event()
    async with serve(closing=closing) as calls:
        watch = calls.channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        repository.is_ready = False
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        closing.set()
        assert await watch.read() is grpc.aio.EOF


async def test_reflection_tells_the_services_and_their_files(serve):
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="inference.GRPCInferenceService"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health"),
    ]
    async with serve() as calls:
        made = calls.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        listed, *files = [each async for each in made(iter(requests))]
    names = {service.name for service in listed.list_services_response.service}
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= names
    assert all(each.file_descriptor_response.file_descriptor_proto for each in files)


@pytest.mark.parametrize("method", sorted(BY_METHOD))
async def test_what_is_not_offered_says_what_to_use_instead(serve, method):
    request = service_pb2.TraceSettingRequest(model_name="m")
    async with serve() as calls:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await calls.unary(method, request, service_pb2.TraceSettingResponse)
    assert (caught.value.code().name, caught.value.details()) == ("UNIMPLEMENTED", BY_METHOD[method])


@pytest.mark.parametrize("field", ["model_name", "repository_name"], ids=["Triton's client", "KServe's client"])
async def test_models_are_loaded_and_unloaded_by_either_kind_of_client(serve, repository, field):
    async with serve() as calls:
        for verb in ("Load", "Unload"):
            request = getattr(service_pb2, f"RepositoryModel{verb}Request")(**{field: "m"})
            await calls.unary(f"RepositoryModel{verb}", request, getattr(service_pb2, f"RepositoryModel{verb}Response"))
            request = getattr(service_pb2, f"RepositoryModel{verb}Request")(**{field: "other"})
            response = getattr(service_pb2, f"RepositoryModel{verb}Response")
            assert await code_of(calls.unary(f"RepositoryModel{verb}", request, response)) == "NOT_FOUND"
    assert repository.loaded == ["+m", "-m"]


async def test_a_load_may_say_which_versions(serve, repository):
    request = service_pb2.RepositoryModelLoadRequest(model_name="m")
    answer = service_pb2.RepositoryModelLoadResponse
    async with serve() as calls:
        request.parameters["config"].string_param = '{"version_policy": {"latest": {"num_versions": 2}}}'
        await calls.unary("RepositoryModelLoad", request, answer)
        request.parameters["config"].string_param = '{"max_batch_size": 4}'
        assert await code_of(calls.unary("RepositoryModelLoad", request, answer)) == "INVALID_ARGUMENT"
    assert repository.loaded == ["+m 2"]


async def test_the_index_lists_what_is_asked_for(serve):
    async with serve() as calls:
        for ready, names in ((False, ["m", "n"]), (True, ["m"])):
            request = service_pb2.RepositoryIndexRequest(ready=ready)
            answer = await calls.unary("RepositoryIndex", request, service_pb2.RepositoryIndexResponse)
            assert [model.name for model in answer.models] == names


async def test_statistics_are_of_one_model_or_of_all(serve, request_of):
    async with serve() as calls:
        await calls.infer(request_of())
        for name in ("", "m"):
            request = service_pb2.ModelStatisticsRequest(name=name)
            answer = await calls.unary("ModelStatistics", request, service_pb2.ModelStatisticsResponse)
            assert [(each.name, each.inference_stats.success.count) for each in answer.model_stats] == [("m", 1)]


async def test_a_model_that_is_not_ready_says_so_and_a_stranger_is_not_found(serve, plane):
    async with serve() as calls:
        for ready in (True, False):
            plane.ready = ready
            request = service_pb2.ModelReadyRequest(name="m")
            assert (await calls.unary("ModelReady", request, service_pb2.ModelReadyResponse)).ready is ready
        request = service_pb2.ModelReadyRequest(name="other")
        assert await code_of(calls.unary("ModelReady", request, service_pb2.ModelReadyResponse)) == "NOT_FOUND"


def test_a_server_without_grpc_does_not_import_it():
    code = "import sys, everwarm_server.app; print({'grpc', 'google.protobuf'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
