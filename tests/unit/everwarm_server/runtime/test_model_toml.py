import pytest

from everwarm_server.errors import ModelError
from everwarm_server.protocol.tensors import TensorSpec
from everwarm_server.runtime import model_toml
from everwarm_server.runtime.accuracy import Quantization
from everwarm_server.runtime.model_toml import ModelToml

WHOLE = """
format = "torch"
platform = "mine"
devices = "cuda:0,cuda:1"
replicas = 2
[[inputs]]
name = "a"
datatype = "FP32"
shape = [-1, 4]
[[inputs]]
name = "b"
datatype = "INT64"
shape = []
[[outputs]]
name = "y"
datatype = "BYTES"
shape = [0]
[warm_up]
samples = "s.npz"
runs = 3
[quantization]
method = "int8"
samples = "q.npz"
max_absolute_error = 1
max_relative_error = 0.05
min_label_agreement = 0.99
otherwise = "full"
[batching]
mode = "on"
max_rows = 32
max_delay_seconds = 0.002
slo_seconds = 0.1
retry = false
[skops]
trusted = ["a.B", "c.D"]
"""


def test_a_whole_file_is_read():
    assert model_toml.parse(WHOLE) == ModelToml(
        format="torch",
        platform="mine",
        devices="cuda:0,cuda:1",
        replicas=2,
        inputs=(TensorSpec("a", "FP32", (-1, 4)), TensorSpec("b", "INT64", ())),
        outputs=(TensorSpec("y", "BYTES", (0,)),),
        samples="s.npz",
        runs=3,
        quantization=Quantization("int8", "q.npz", 1.0, 0.05, 0.99, falls_back=True),
        batching={"mode": "on", "max_rows": 32, "max_delay_seconds": 0.002, "slo_seconds": 0.1, "retry": False},
        trusted=("a.B", "c.D"),
    )


def test_an_empty_or_missing_file_says_nothing(tmp_path):
    assert model_toml.parse("") == model_toml.read(tmp_path) == ModelToml()


LIMITED = "[quantization]\nmax_absolute_error = 1\n"


def entry(**changes):
    fields = {"name": '"x"', "datatype": '"FP32"', "shape": "[1]"} | changes
    return "[[inputs]]\n" + "\n".join(f"{key} = {value}" for key, value in fields.items() if value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("formt = 'onnx'", "'formt' in the file is unknown; known are batching, devices, format, inputs, outputs,"),
        ("format = 3", "format is 3; it must be a string."),
        ("platform = ''", "platform is ''; it must be a string."),
        ("inputs = 3", "inputs must be tables: [[inputs]]."),
        ("inputs = [3]", "inputs must be tables: [[inputs]]."),
        ("replicas = 0", "replicas is 0; it must be a whole number from 1 to 64."),
        ("devices = 'tpu'", "devices is 'tpu'; it must be auto, cpu, cuda, cuda:1, a list"),
        ("quantization = 3", "quantization must be a table: [quantization]."),
        ("[quantization]\nmethod = 'int8'", "[quantization] must say what accuracy it must keep: one of max_absolute_"),
        (LIMITED + "method = 'int4'", "method in [quantization] is 'int4'; it must be one of int8, fp16, bf16."),
        (LIMITED, "method in [quantization] is None; it must be one of int8, fp16, bf16."),
        (
            LIMITED + "method = 'int8'\notherwise = 'log'",
            "otherwise in [quantization] is 'log'; it must be one of refuse, full.",
        ),
        (
            "[quantization]\nmin_label_agreement = 1.5",
            "min_label_agreement in [quantization] is 1.5; it must be a number from 0 to 1.",
        ),
        (
            "[quantization]\nmax_absolute_error = nan",
            "max_absolute_error in [quantization] is nan; it must be a number",
        ),
        ("[quantization]\nmax_absolute_error = true", "is True; it must be a number from 0 on."),
        ("[skops]\ntrusted = 'a'", "trusted in [skops] is 'a'; it must be a list of strings."),
        ("[batching]\nmode = 'maybe'", "mode in [batching] is 'maybe'; it must be one of auto, on, off."),
        ("[batching]\nmax_rows = 0", "max_rows in [batching] is 0; it must be a whole number from 1 to 1048576."),
        ("[batching]\nmax_delay_seconds = 11", "max_delay_seconds in [batching] is 11; it must be a number from 0 to"),
        ("[batching]\nretry = 1", "retry in [batching] is 1; it must be true or false."),
        ("warm_up = 3", "warm_up must be a table: [warm_up]."),
        ("[warm_up]\nrun = 3", "'run' in [warm_up] is unknown; known are runs, samples."),
        ("[warm_up]\nruns = 0", "runs in [warm_up] is 0; it must be a whole number from 1 to 100."),
        ("[warm_up]\nruns = true", "runs in [warm_up] is True; it must be a whole number from 1 to 100."),
        (entry(name=None), "An entry of [[inputs]] has no name."),
        (entry(datatype='"FP31"'), "'x' in [[inputs]] has the datatype 'FP31'; it must be one of BOOL,"),
        (entry(datatype=None), "'x' in [[inputs]] has the datatype None; it must be one of BOOL,"),
        (entry(shape="[-2]"), "'x' in [[inputs]] has the shape [-2]; it must be a list of sizes, -1 for any size."),
        (entry(shape="[true]"), "'x' in [[inputs]] has the shape [True]; it must be a list of sizes"),
        (entry(shape=None), "'x' in [[inputs]] has the shape None; it must be a list of sizes"),
        (entry(dtype='"x"'), "'dtype' in [[inputs]] is unknown; known are datatype, name, shape."),
        (entry() + "\n" + entry(), "[[inputs]] has the name 'x' twice."),
    ],
)
def test_a_mistake_is_named(text, sentence):
    with pytest.raises(ModelError) as caught:
        model_toml.parse(text)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"inputs = [", "is not valid TOML: "),
        (b"\xff", "is not valid TOML: "),
        (b"a = 1", ": 'a' in the file is unknown"),
    ],
)
def test_a_broken_file_is_named_with_its_path(tmp_path, content, sentence):
    (tmp_path / "model.toml").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        model_toml.read(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "model.toml"))
    assert sentence in str(caught.value)
