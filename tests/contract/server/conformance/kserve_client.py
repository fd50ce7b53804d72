"""Run in an environment that has KServe: its clients ask our server, and what they got goes to stdout as JSON.

Usage: python kserve_client.py HTTP_ADDRESS GRPC_ADDRESS
"""

import asyncio
import base64
import json
import sys
from typing import Any

import grpc
import httpx
import numpy as np
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent, from_http
from kserve import InferenceGRPCClient, InferenceRESTClient, RESTConfig
from kserve.protocol.grpc import grpc_predict_v2_pb2, grpc_predict_v2_pb2_grpc
from kserve.protocol.infer_type import InferInput, InferRequest, RequestedOutput

A = np.arange(32, dtype=np.int32).reshape(2, 16)
B = np.ones((2, 16), np.int32)


def asked(*, binary: bool, outputs: bool = False) -> InferRequest:
    inputs = []
    for name, array in (("INPUT0", A), ("INPUT1", B)):
        tensor = InferInput(name, list(array.shape), "INT32")
        tensor.set_data_from_numpy(array, binary_data=binary)
        inputs.append(tensor)
    wanted = [RequestedOutput("OUTPUT1", {"binary_data": True})] if outputs else None
    return InferRequest(model_name="simple", infer_inputs=inputs, request_id="42", request_outputs=wanted)


def told(response: Any) -> Any:
    return [response.id, {output.name: output.as_numpy().tolist() for output in response.outputs}]


async def failure(call: Any) -> str:
    try:
        await call
    except Exception as error:  # noqa: BLE001 - which one it is, is what is asked
        return f"{type(error).__name__}: {error}"
    return "none"


async def rest(address: str) -> dict[str, Any]:
    v1 = InferenceRESTClient(RESTConfig(protocol="v1", retries=0))
    v2 = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    url = f"http://{address}"
    rows = {"instances": [{"INPUT0": a, "INPUT1": b} for a, b in zip(A.tolist(), B.tolist(), strict=True)]}
    try:
        return {
            "v1 live": await v1.is_server_live(url),
            "v1 model ready": await v1.is_model_ready(url, "simple"),
            "v1 rows": await v1.infer(url, rows, model_name="simple"),
            "v1 explain": await failure(v1.explain(url, "simple", rows)),
            "v2 live": await v2.is_server_live(url),
            "v2 ready": await v2.is_server_ready(url),
            "v2 model ready": await v2.is_model_ready(url, "simple"),
            "v2 json": told(await v2.infer(url, asked(binary=False), model_name="simple")),
            "v2 binary": told(await v2.infer(url, asked(binary=True), model_name="simple")),
            "v2 one binary output": told(await v2.infer(url, asked(binary=True, outputs=True), model_name="simple")),
            "v2 unknown": await failure(v2.infer(url, asked(binary=False), model_name="stranger")),
        }
    finally:
        await v1.close()
        await v2.close()


async def events(address: str) -> dict[str, Any]:
    """V1 in CloudEvents of both modes, by their own SDK."""
    attributes = {"type": "org.kserve.request", "source": "/test"}
    event = CloudEvent(attributes, {"instances": [{"INPUT0": A[0].tolist(), "INPUT1": B[0].tolist()}]})
    answers = {}
    async with httpx.AsyncClient(base_url=f"http://{address}") as client:
        for mode, pack in (("binary", to_binary), ("structured", to_structured)):
            headers, body = pack(event)
            reply = await client.post("/v1/models/simple:predict", headers=headers, content=body)
            answer = from_http(reply.headers, reply.content)
            answers[f"event {mode}"] = [answer["source"], answer["type"], answer.data]
    return answers


async def by_grpc(address: str) -> dict[str, Any]:
    client = InferenceGRPCClient(address, retries=0)
    try:
        answers = {
            "grpc live": await client.is_server_live(),
            "grpc ready": await client.is_server_ready(),
            "grpc model ready": await client.is_model_ready("simple"),
            "grpc typed": told(await client.infer(asked(binary=False))),
            "grpc raw": told(await client.infer(asked(binary=True))),
            "grpc unknown": await failure(client.is_model_ready("stranger")),
        }
    finally:
        await client.close()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(channel)
        messages = grpc_predict_v2_pb2
        unloaded = await stub.RepositoryModelUnload(messages.RepositoryModelUnloadRequest(model_name="image"))
        loaded = await stub.RepositoryModelLoad(messages.RepositoryModelLoadRequest(model_name="image"))
    return answers | {
        "grpc unloaded": [unloaded.model_name, unloaded.isUnloaded],
        "grpc loaded": [loaded.model_name, loaded.isLoaded],
    }


async def main(http_address: str, grpc_address: str) -> None:
    messages = base64.b64encode(grpc_predict_v2_pb2.DESCRIPTOR.serialized_pb).decode()
    answers = (
        {"messages": messages} | await rest(http_address) | await events(http_address) | await by_grpc(grpc_address)
    )
    print(json.dumps(answers))


asyncio.run(main(*sys.argv[1:]))
