import asyncio
import math
import time

import grpc
import numpy as np
import pytest

from everwarm_server.errors import DeadlineExceeded, Forbidden, InferenceFailed, InvalidInput, ModelNotReady, Overloaded
from everwarm_server.transport.grpc import inference


def values(response):
    return np.frombuffer(response.raw_output_contents[0], np.float32).tolist()


def counted(plane):
    return dict(plane.metrics.series["everwarm_requests"].counts)


async def until_idle(plane):
    async with asyncio.timeout(5):
        while plane.metrics.in_flight:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0)


async def test_an_answer_has_its_id_and_is_counted(serve, plane, request_of):
    async with serve() as calls:
        response = await calls.infer(request_of("7", values=(1.0, 2.5)))
    assert (response.model_name, response.model_version, response.id, values(response)) == ("m", "1", "7", [2.0, 5.0])
    assert counted(plane) == {"200": 1}
    assert plane.metrics.in_flight == 0


async def test_what_a_call_brings_reaches_the_model(serve, plane, request_of):
    metadata = [("x-tenant-id", "blue"), ("traceparent", "00-1-2-01"), ("x-request-start", "t=5")]
    start = time.perf_counter()
    async with serve() as calls:
        await calls.infer(request_of(), metadata=metadata, timeout=60)
        await calls.infer(request_of())
    first, second = plane.arrivals
    assert plane.waited == [first.deadline_seconds, math.inf]
    assert (first.tenant, first.traceparent, first.request_start) == ("blue", b"00-1-2-01", b"t=5")
    assert 50 < first.deadline_seconds - start < 70
    assert (second.tenant, second.traceparent, second.request_start) == ("", None, None)
    assert second.deadline_seconds == math.inf


@pytest.mark.parametrize(
    ("error", "code", "sentence", "counted_as"),
    [
        (InvalidInput("x is wrong."), "INVALID_ARGUMENT", "x is wrong.", "400"),
        (ModelNotReady("Still loading."), "UNAVAILABLE", "Still loading.", "503"),
        (Overloaded("Full.", 2.5), "RESOURCE_EXHAUSTED", "Full.", "503"),
        (DeadlineExceeded("Late."), "DEADLINE_EXCEEDED", "Late.", "504"),
        (Forbidden("Not here."), "PERMISSION_DENIED", "Not here.", "403"),
        (InferenceFailed("The model failed."), "INTERNAL", "The model failed.", "500"),
        (ValueError("secret"), "INTERNAL", "The server failed to answer this request; its log says why.", "500"),
    ],
)
async def test_each_error_has_its_status(serve, plane, request_of, error, code, sentence, counted_as):
    async def fail(_):
        raise error

    plane.compute = fail
    async with serve() as calls:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await calls.infer(request_of())
    assert (caught.value.code().name, caught.value.details()) == (code, sentence)
    assert counted(plane) == {"200": 0, counted_as: 1}


async def test_a_wrong_tensor_is_the_models_failed_request_and_an_unknown_model_nobodys(serve, plane, request_of):
    wrong = request_of()
    wrong.inputs[0].shape[0] = 3
    async with serve() as calls:
        for request, code in ((wrong, "INVALID_ARGUMENT"), (request_of(model="other"), "NOT_FOUND")):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await calls.infer(request)
            assert caught.value.code().name == code
    assert counted(plane) == {"200": 0, "400": 1}


async def test_a_client_that_cancels_is_gone(serve, plane, request_of):
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def compute(_):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    plane.compute = compute
    async with serve() as calls:
        call = calls.infer(request_of())
        await asyncio.wait_for(started.wait(), 5)
        call.cancel()
        await asyncio.wait_for(cancelled.wait(), 5)
        assert plane.client.gone
        await until_idle(plane)
    assert counted(plane) == {"200": 0, "499": 1}


async def test_large_typed_contents_are_read_off_the_loop(serve, request_of, monkeypatch):
    monkeypatch.setattr(inference, "LARGE_TYPED_BYTES", 100)
    request = request_of()
    del request.raw_input_contents[:]
    request.inputs[0].shape[0] = 1000
    request.inputs[0].contents.fp32_contents.extend(range(1000))
    async with serve() as calls:
        assert values(await calls.infer(request)) == [2.0 * number for number in range(1000)]


async def answers(calls, *requests):
    return [each async for each in calls.stream(iter(requests))]


def told(answer):
    return answer.error_message or (answer.infer_response.id, values(answer.infer_response))


async def test_a_stream_answers_in_the_order_of_its_requests(serve, plane, request_of):
    later_came = asyncio.Event()

    async def compute(request):
        if request.id == "0":
            await asyncio.wait_for(later_came.wait(), 5)
        later_came.set()
        return (await plane._compute(request))._replace(id=request.id)

    plane.compute = compute
    async with serve() as calls:
        read = await answers(calls, *(request_of(str(number), values=(float(number),)) for number in range(5)))
    assert [told(each) for each in read] == [(str(number), [2.0 * number]) for number in range(5)]
    assert all(each.infer_response.parameters["triton_final_response"].bool_param for each in read)


async def test_an_error_in_a_stream_names_its_request_and_the_stream_goes_on(serve, request_of):
    async with serve() as calls:
        read = await answers(calls, request_of("1", model="other"), request_of("2"))
    assert [told(each) for each in read] == ["There is no model 'other' here; this server has 'm'.", ("2", [2.0])]
    assert read[0].infer_response.id == "1"


@pytest.mark.parametrize("wants_final", [False, True])
async def test_a_model_that_streams_answers_many_times(serve, plane, request_of, wants_final):
    plane.streams = True
    more = {"triton_enable_empty_final_response": True} if wants_final else {}
    async with serve() as calls:
        read = await answers(calls, request_of("9", parts=3, **more))
    parts = [(each.infer_response.id, len(each.infer_response.outputs)) for each in read]
    final = [each.infer_response.parameters["triton_final_response"].bool_param for each in read]
    assert parts == [("9", 1)] * 3 + [("9", 0)] * wants_final
    assert final == [False] * 3 + [True] * wants_final
    assert counted(plane) == {"200": 1}


async def test_a_stream_that_breaks_off_leaves_nothing_behind(serve, plane, request_of):
    started = asyncio.Event()

    async def compute(_):
        started.set()
        await asyncio.Event().wait()

    plane.compute = compute
    async with serve() as calls:
        call = calls.stream(iter([request_of("1")]))
        reading = asyncio.create_task(call.read())
        await asyncio.wait_for(started.wait(), 5)
        call.cancel()
        await asyncio.wait({reading})
        await until_idle(plane)
    assert counted(plane) == {"200": 0, "499": 1}
