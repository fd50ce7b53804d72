import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from everwarm_server.protocol import v2_grpc
from everwarm_server.protocol.grpc_layouts import MAX_KEPT, Layouts
from everwarm_server.protocol.tensors import InferRequest, InferResponse, Tensor


def asked(*tensors, **more):
    request = service_pb2.ModelInferRequest(model_name="m", **more)
    for index, tensor in enumerate(tensors):
        request.inputs.add(name=f"{tensor.name}{index}", datatype=tensor.datatype, shape=tensor.data.shape)
        request.raw_input_contents.append(bytes(v2_grpc.v2_binary.from_tensor(tensor)))
    request.parameters["p"].int64_param = 7
    return request.SerializeToString()


def told(request):
    tensors = [
        (
            t.name,
            t.datatype,
            t.data.dtype,
            t.data.shape,
            t.data.tolist() if t.data.dtype == object else t.data.tobytes(),
        )
        for t in request.inputs
    ]
    return tensors, request.id, request.outputs, request.binary_outputs, dict(request.parameters)


def decode(layouts, serialized):
    """As the transport does; and whether it was known."""
    envelope = v2_grpc.open_envelope(serialized)
    known = layouts.find(envelope)
    if known is not None:
        return (known.model_name, known.model_version, told(known.request)), True
    message = v2_grpc.parse(envelope)
    request = v2_grpc.decode(message)
    layouts.keep(envelope.rest, message, request)
    return (message.model_name, message.model_version, told(request)), False


@given(st.lists(st.from_type(Tensor), max_size=2), st.sampled_from([{}, {"id": "7"}, {"model_version": "3"}]))
def test_what_came_before_means_what_it_meant(tensors, more):
    layouts = Layouts()
    serialized = asked(*tensors, **more)
    first, _ = decode(layouts, serialized)
    again, known = decode(layouts, serialized)
    assert again == first
    plain = all(t.datatype not in {"BYTES", "BOOL"} and t.data.size for t in tensors)
    assert known is (plain and "id" not in more)


def test_other_values_of_the_same_shape_are_read_anew_and_not_copied():
    layouts = Layouts()
    decode(layouts, asked(Tensor("x", "FP32", np.zeros(300, np.float32))))
    serialized = asked(Tensor("x", "FP32", np.arange(300, dtype=np.float32)))
    (tensor,) = layouts.find(v2_grpc.open_envelope(serialized)).request.inputs
    assert tensor.data.tolist() == list(range(300))
    assert np.shares_memory(tensor.data, np.frombuffer(serialized, np.uint8))


def test_a_model_that_changes_its_parameters_changes_only_its_own():
    layouts = Layouts()
    serialized = asked(Tensor("x", "FP32", np.zeros(2, np.float32)))
    decode(layouts, serialized)
    for _ in range(2):
        parameters = layouts.find(v2_grpc.open_envelope(serialized)).request.parameters
        assert parameters == {"p": 7}
        parameters["p"] = 8


@pytest.mark.parametrize("raw", [[], [bytes(4)], [bytes(8), bytes(8)]])
def test_raw_tensors_of_other_sizes_are_not_taken_for_known(raw):
    layouts = Layouts()
    serialized = asked(Tensor("x", "FP32", np.zeros(2, np.float32)))
    decode(layouts, serialized)
    rest = v2_grpc.open_envelope(serialized).rest
    assert layouts.find(v2_grpc.Envelope(rest, [memoryview(each) for each in raw])) is None


@given(st.lists(st.from_type(Tensor), max_size=2), st.sampled_from([None, "7"]), st.booleans())
def test_answers_are_those_of_the_long_way(tensors, identity, binary):
    outputs = tuple(t._replace(name=f"y{index}") for index, t in enumerate(tensors))
    binary = binary or any(t.datatype in {"FP16", "BF16"} for t in tensors)
    response, request = InferResponse("m", "1", outputs), InferRequest((), id=identity, binary_outputs=binary)
    layouts = Layouts()
    expected = v2_grpc.encode_response(response, request)
    assert [layouts.encode(response, request) for _ in range(2)] == [expected] * 2


def test_clients_and_models_that_change_each_time_fill_no_memory():
    layouts = Layouts()
    for number in range(1, 3 * MAX_KEPT):
        tensor = Tensor("x", "INT8", np.zeros(number, np.int8))
        decode(layouts, asked(tensor))
        layouts.encode(InferResponse("m", "1", (tensor,)), InferRequest((), binary_outputs=True))
    assert layouts.kept <= MAX_KEPT
