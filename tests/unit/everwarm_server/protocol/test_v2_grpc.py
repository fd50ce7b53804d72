import numpy as np
import pytest
import tritonclient.grpc as triton
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol import grpc_messages, v2_grpc
from everwarm_server.protocol.tensors import BINARY_ONLY, DTYPES, InferRequest, InferResponse, RequestedOutput, Tensor

REQUEST = service_pb2.ModelInferRequest
PARAMETER = service_pb2.InferParameter


def tensor(datatype="INT32", shape=(2,), name="x", **contents):
    return REQUEST.InferInputTensor(name=name, datatype=datatype, shape=shape, contents=contents)


def decode_bytes(serialized):
    return v2_grpc.decode(v2_grpc.parse(v2_grpc.open_envelope(serialized)))


def decode(*inputs, **more):
    return decode_bytes(REQUEST(model_name="m", inputs=inputs, **more).SerializeToString())


def client_reads(serialized):
    return triton.InferResult(service_pb2.ModelInferResponse.FromString(serialized))


def told(array):
    """All of an array, NaN's bits included."""
    return array.dtype, array.shape, array.tolist() if array.dtype == object else array.tobytes()


@given(st.from_type(Tensor))
def test_tritons_client_reads_what_we_write_and_we_read_what_it_writes(tensor):
    asked = triton.InferInput("t", list(tensor.data.shape), tensor.datatype)
    asked.set_data_from_numpy(tensor.data)
    message = REQUEST(inputs=[asked._get_tensor()], raw_input_contents=[asked._get_content()])
    request = decode_bytes(message.SerializeToString())
    assert told(request.inputs[0].data) == told(tensor.data)

    response = v2_grpc.encode_response(InferResponse("m", "1", request.inputs), request)
    assert told(client_reads(response).as_numpy("t")) == told(tensor.data)


@given(st.from_type(Tensor).filter(lambda tensor: tensor.datatype not in BINARY_ONLY))
def test_typed_contents_come_back_as_they_went(tensor):
    wanted = InferRequest(inputs=(), binary_outputs=False)
    response = service_pb2.ModelInferResponse.FromString(
        v2_grpc.encode_response(InferResponse("m", "1", (tensor,)), wanted)
    )
    assert not response.raw_output_contents
    (output,) = response.outputs
    sent = REQUEST.InferInputTensor(name="t", datatype=output.datatype, shape=output.shape, contents=output.contents)
    (read,) = decode(sent).inputs
    assert told(read.data) == told(tensor.data)


def test_a_raw_tensor_is_a_view_of_the_message_and_not_a_copy():
    raw = np.arange(1000, dtype=np.float32)
    serialized = REQUEST(
        model_name="m", inputs=[tensor("FP32", [1000])], raw_input_contents=[raw.tobytes()]
    ).SerializeToString()
    (decoded,) = decode_bytes(serialized).inputs
    assert np.shares_memory(decoded.data, np.frombuffer(serialized, np.uint8))


def test_everything_that_a_request_may_carry_arrives():
    message = v2_grpc.parse(
        v2_grpc.open_envelope(
            REQUEST(
                model_name="m",
                model_version="3",
                id="42",
                parameters={
                    "b": PARAMETER(bool_param=True),
                    "i": PARAMETER(int64_param=-7),
                    "s": PARAMETER(string_param="text"),
                    "d": PARAMETER(double_param=0.5),
                    "u": PARAMETER(uint64_param=2**64 - 1),
                },
                inputs=[tensor(int_contents=[1, 2])],
                outputs=[REQUEST.InferRequestedOutputTensor(name="y")],
            ).SerializeToString()
        )
    )
    request = v2_grpc.decode(message)
    assert (message.model_name, message.model_version, request.id) == ("m", "3", "42")
    assert request.parameters == {"b": True, "i": -7, "s": "text", "d": 0.5, "u": 2**64 - 1}
    assert type(request.parameters["b"]) is bool
    assert request.outputs == (RequestedOutput("y", binary=True),)
    assert request.inputs[0].data.tolist() == [1, 2]


def test_parameters_of_a_response_arrive():
    response = v2_grpc.encode_response(
        InferResponse("m", "1", (), "7"), InferRequest(()), {"b": False, "i": 5, "f": 0.25, "s": "x"}
    )
    read = service_pb2.ModelInferResponse.FromString(response)
    values = {name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in read.parameters.items()}
    assert values == {"b": False, "i": 5, "f": 0.25, "s": "x"}
    assert (read.model_name, read.model_version, read.id) == ("m", "1", "7")


@pytest.mark.parametrize(
    ("inputs", "more", "sentence"),
    [
        ([tensor(int_contents=[1])], {}, "has shape [2], which means 2 elements, but its int_contents has 1."),
        ([tensor()], {}, "but its int_contents has 0."),
        ([tensor(fp32_contents=[1, 2])], {}, "is INT32, so its elements belong into int_contents, not fp32_contents."),
        ([tensor(int_contents=[1, 2], int64_contents=[1])], {}, "not int64_contents."),
        ([tensor("INT8", int_contents=[1, 128])], {}, "INT8, which holds -128 to 127, but element 1 is 128."),
        ([tensor("UINT16", uint_contents=[65536, 0])], {}, "which holds 0 to 65535, but element 0 is 65536."),
        ([tensor("FP16")], {}, "is FP16, which V2 carries only as binary: send it in raw_input_contents."),
        ([tensor("BF16")], {}, "is BF16, which V2 carries only as binary: send it in raw_input_contents."),
        ([tensor("FP8")], {}, "has the datatype 'FP8'; it must be one of BOOL,"),
        ([tensor("")], {}, "has the datatype '';"),
        ([tensor(shape=[-1])], {}, "has -1 in its shape;"),
        ([tensor(shape=[2**32, 2**32])], {}, "which means more than 2**40 elements."),
        ([tensor(shape=[1] * 33)], {}, "has 33 dimensions; at most 32 are accepted."),
        ([tensor(name="")], {}, "The input at position 0 has no name."),
        ([tensor(int_contents=[1, 2])] * 2, {}, "The input 'x' comes twice;"),
        ([tensor()], {"raw_input_contents": [b"", b""]}, "The request has 1 inputs and 2 raw_input_contents;"),
        ([], {"raw_input_contents": [b"1"]}, "has 0 inputs and 1 raw_input_contents;"),
        ([tensor()], {"raw_input_contents": [b"1234567"]}, "of shape [2], which takes 8 bytes, but 7 bytes came."),
        ([tensor(int_contents=[1])], {"raw_input_contents": [bytes(8)]}, "has both contents and raw_input_contents;"),
        ([], {"id": "a\nb"}, "it must be a string of at most 1024 printable characters."),
        ([], {"parameters": {"p": PARAMETER()}}, "The parameter 'p' of the request has no value."),
        ([], {"parameters": {f"p{i}": PARAMETER(bool_param=True) for i in range(257)}}, "has 257 parameters; at most"),
        ([], {"parameters": {"binary_data_output": PARAMETER(int64_param=1)}}, "it must be true or false."),
        ([], {"outputs": [REQUEST.InferRequestedOutputTensor()]}, "The output at position 0 has no name."),
        ([], {"outputs": [REQUEST.InferRequestedOutputTensor(name="y")] * 2}, "The output 'y' comes twice;"),
        (
            [],
            {
                "outputs": [
                    REQUEST.InferRequestedOutputTensor(
                        name="y", parameters={"classification": PARAMETER(int64_param=3)}
                    )
                ]
            },
            "asks for classification, which this server does not do;",
        ),
        (
            [
                REQUEST.InferInputTensor(
                    name="x",
                    datatype="INT32",
                    shape=[2],
                    parameters={"shared_memory_region": PARAMETER(string_param="r")},
                )
            ],
            {},
            "lies in shared memory, which this server does not read;",
        ),
    ],
)
def test_a_wrong_request_is_refused_with_what_is_wrong(inputs, more, sentence):
    with pytest.raises(InvalidInput) as caught:
        decode(*inputs, **more)
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("datatype", sorted(BINARY_ONLY))
def test_outputs_without_typed_contents_are_refused_where_those_are_asked_for(datatype):
    response = InferResponse("m", "1", (Tensor("y", datatype, np.zeros(1, DTYPES[datatype])),))
    with pytest.raises(InvalidInput, match=f"'y' is {datatype}, which V2 carries only as binary: leave out"):
        v2_grpc.encode_response(response, InferRequest((), binary_outputs=False))


def or_sentence(serialized):
    try:
        return decode_bytes(serialized)
    except InvalidInput as refused:
        sentence = str(refused)
    assert sentence.endswith(".")
    assert len(sentence) < 1000
    return None


@given(st.binary(max_size=80))
def test_arbitrary_bytes(serialized):
    or_sentence(serialized)


VALID = REQUEST(
    model_name="m",
    id="1",
    parameters={"p": PARAMETER(double_param=1.5)},
    inputs=[tensor("FP32"), tensor("BYTES", name="s"), tensor("BOOL", [3], name="b")],
    outputs=[REQUEST.InferRequestedOutputTensor(name="y")],
    raw_input_contents=[bytes(8), b"\2\0\0\0ab\1\0\0\0c", b"\0\1\0"],
).SerializeToString()
TYPED = REQUEST(
    model_name="m",
    inputs=[
        tensor("FP64", fp64_contents=[1, 2]),
        tensor("INT8", name="n", int_contents=[-1, 2]),
        tensor("BYTES", name="s", bytes_contents=[b"a", b"b"]),
        tensor("UINT64", name="u", uint64_contents=[2**64 - 1, 0]),
    ],
).SerializeToString()


@given(st.sampled_from([VALID, TYPED]), st.data())
def test_valid_requests_with_bytes_changed_dropped_or_doubled(valid, data):
    body = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        change = data.draw(st.sampled_from(["set", "drop", "double", "cut"]))
        if change == "set":
            body[at] = data.draw(st.integers(0, 255))
        elif change == "drop":
            del body[at]
        elif change == "double":
            body.insert(at, body[at])
        elif at:
            del body[at:]
        if not body:
            break
    request = or_sentence(bytes(body))
    for decoded in request.inputs if request else ():
        assert decoded.data.dtype == DTYPES[decoded.datatype]
        assert decoded.data.size <= len(body)


@pytest.mark.parametrize("valid", [VALID, TYPED])
def test_the_valid_requests_are_valid(valid):
    assert or_sentence(valid) is not None


def test_a_stream_carries_responses_and_errors():
    read = service_pb2.ModelStreamInferResponse.FromString
    response = v2_grpc.encode_response(InferResponse("m", "1", (), "7"), InferRequest(()))
    assert read(v2_grpc.stream_response(response)).infer_response.id == "7"
    error = read(v2_grpc.stream_error("Wrong.", "8"))
    assert (error.error_message, error.infer_response.id) == ("Wrong.", "8")


def test_our_messages_leave_the_default_pool_to_others():
    """A model may import tritonclient or kserve, which put messages of the same names there."""
    assert grpc_messages.InferRequestMessage.DESCRIPTOR.full_name == REQUEST.DESCRIPTOR.full_name
    assert grpc_messages.InferRequestMessage is not REQUEST
