import sys
import threading
from textwrap import dedent

import numpy as np
import pytest

from everwarm_server.errors import InferenceFailed, InvalidInput, ModelError, Overloaded
from everwarm_server.protocol.tensors import TensorSpec
from everwarm_server.runtime.load import LoadOptions, load
from everwarm_server.runtime.warmup import warm_up

OPTIONS = LoadOptions(name="m")
X = {"x": np.array([1.0, 2.0])}


@pytest.fixture
def model(tmp_path):
    """Writes a model.py and loads it; closes it at the end."""
    loaded = []

    def make(source, **files):
        (tmp_path / "model.py").write_text(dedent(source))
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(dedent(text))
        loaded.append(load(tmp_path, OPTIONS))
        return loaded[-1]

    yield make
    for runtime in loaded:
        runtime.close()


def test_a_class_answers_and_may_use_what_load_left(model, tmp_path):
    (tmp_path / "weight.txt").write_text("3")
    runtime = model("""
        class Model:
            def load(self):
                self.weight = float((self.directory / "weight.txt").read_text())
                assert (self.name, self.device) == ("m", "auto")

            def predict(self, inputs):
                return {"y": inputs["x"] * self.weight, "text": ["a", "b"], "n": 5}
    """)
    outputs = runtime.infer(X, {})
    assert {k: (v.dtype.kind, v.tolist()) for k, v in outputs.items()} == {
        "y": ("f", [3.0, 6.0]),
        "text": ("O", [b"a", b"b"]),
        "n": ("i", 5),
    }
    assert (runtime.metadata.platform, runtime.metadata.inputs, runtime.device) == ("python", (), "cpu")


@pytest.mark.parametrize(
    ("line", "expected"), [("", False), ("only_computes = True", True), ("only_computes = 1", False)]
)
def test_it_only_computes_where_its_class_says_so(model, line, expected):
    runtime = model(f"""
        class Model:
            {line or "pass"}

            def predict(self, inputs):
                return {{"y": 1}}
    """)
    assert runtime.only_computes is expected


def test_coroutines_run_on_one_loop_off_the_calling_thread(model):
    runtime = model("""
        import asyncio, threading

        class Model:
            async def load(self):
                self.lock = asyncio.Lock()
                self.loop = asyncio.get_running_loop()

            async def predict(self, inputs):
                async with self.lock:
                    await asyncio.sleep(0)
                    assert asyncio.get_running_loop() is self.loop
                    return {"thread": threading.get_ident()}

            async def close(self):
                self.lock = None
    """)
    here = threading.get_ident()
    assert runtime.infer(X, {})["thread"] == runtime.infer(X, {})["thread"] != here
    names = {thread.name for thread in threading.enumerate()}
    assert "everwarm-model-loop" in names
    runtime.close()
    assert "everwarm-model-loop" not in {thread.name for thread in threading.enumerate()}


def test_parameters_are_given_to_those_who_take_them(model):
    runtime = model("""
        class Model:
            def predict(self, inputs, parameters):
                return {"t": parameters["t"]}
    """)
    assert runtime.infer({}, {"t": 0.5})["t"] == 0.5


def test_a_model_may_write_to_its_inputs_however_they_came(model):
    runtime = model("""
        class Model:
            def predict(self, inputs):
                inputs["x"] += 1
                return inputs
    """)
    body = np.array([1.0, 2.0]).tobytes()
    assert runtime.infer({"x": np.frombuffer(body)}, {})["x"].tolist() == [2.0, 3.0]
    assert np.frombuffer(body).tolist() == [1.0, 2.0]


METADATA = """
    class Model:
        metadata = {
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
        }

        def predict(self, inputs):
            return inputs["x"] * 2.0
"""


def test_a_class_may_declare_its_tensors_and_return_its_one_output_bare(model):
    runtime = model(METADATA)
    warm_up(runtime)
    assert runtime.metadata.inputs == (TensorSpec("x", "FP32", (-1,)),)
    assert runtime.metadata.outputs == (TensorSpec("y", "FP32", (-1,)),)
    (output,) = runtime.infer({"x": np.ones(2)}, {}).values()
    assert (output.dtype.name, output.tolist()) == ("float32", [2.0, 2.0])


def test_model_toml_wins_over_the_class(model, tmp_path):
    (tmp_path / "model.toml").write_text('[[inputs]]\nname = "x"\ndatatype = "FP64"\nshape = [2]')
    assert model(METADATA).metadata.inputs == (TensorSpec("x", "FP64", (2,)),)


RAISES = """
    from everwarm_server import InvalidInput, Overloaded

    class Model:
        {maybe_async} def predict(self, inputs):
            raise {error}
"""


@pytest.mark.parametrize("maybe_async", ["", "async"])
@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        ("InvalidInput('x must be positive.')", InvalidInput, "x must be positive."),
        ("Overloaded('The feature store is busy.')", Overloaded, "The feature store is busy."),
        ("ValueError('no')", InferenceFailed, "The model failed: ValueError: no"),
        ("KeyError('k')", InferenceFailed, "The model failed: KeyError: 'k'"),
        ("SystemExit(3)", InferenceFailed, "The model failed: SystemExit: 3"),
    ],
)
def test_only_invalid_input_is_the_clients_fault(model, caplog, maybe_async, error, kind, sentence):
    runtime = model(RAISES.format(maybe_async=maybe_async, error=error))
    with pytest.raises(kind) as caught:
        runtime.infer(X, {})
    assert str(caught.value) == sentence
    assert ("Traceback" in caplog.text) is (kind is InferenceFailed)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("None", "predict() returned a NoneType; it must return a dict of arrays by name."),
        ("iter([1])", "predict() returned an iterator; a class whose predict() does must say streams = True."),
        ("[1, 2]", "predict() returned a list; it must return a dict of arrays by name."),
        ("{'y': {}}", "The output 'y' holds Python objects; it must hold numbers or text."),
        ("{'y': 1j}", "The output 'y' is an array of complex128, which the protocol does not have."),
        ("{'y': [[1], [1, 2]]}", "The output 'y' is no array:"),
    ],
)
def test_an_answer_that_is_no_dict_of_arrays_is_named(model, answer, sentence):
    runtime = model(f"""
        class Model:
            def predict(self, inputs):
                return {answer}
    """)
    with pytest.raises(InferenceFailed) as caught:
        runtime.infer(X, {})
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("{'z': 1}", "predict() returned no output 'y', which the model declares."),
        ("{'y': ['a']}", "The output 'y' is declared FP32, but it came as object."),
    ],
)
def test_an_answer_that_is_not_as_declared_is_named(model, answer, sentence):
    runtime = model(METADATA.replace('inputs["x"] * 2.0', answer))
    with pytest.raises(InferenceFailed) as caught:
        runtime.infer(X, {})
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("x = 1", "must have a class Model with a method predict(self, inputs)."),
        ("class Model: pass", "must have a class Model with a method predict(self, inputs)."),
        ("Model = 3", "must have a class Model with a method predict(self, inputs)."),
        ("class Model", "failed to load: SyntaxError: "),
        ("import no_such_package", "failed to load: ModuleNotFoundError: No module named 'no_such_package'"),
        ("raise SystemExit(1)", "failed to load: SystemExit: 1"),
        ("class Model:\n def load(self): 1 / 0\n def predict(self, i): pass", "failed to load: ZeroDivisionError: "),
        (
            "class Model:\n async def load(self): 1 / 0\n def predict(self, i): pass",
            "failed to load: ZeroDivisionError: ",
        ),
        ("class Model:\n metadata = {'inputs': 1}\n def predict(self, i): pass", "inputs must be tables"),
        (
            "class Model:\n metadata = 3\n def predict(self, i): pass",
            "metadata is 3; it must be a dict of inputs and outputs.",
        ),
    ],
)
def test_a_class_that_does_not_load_is_refused_and_leaves_nothing_behind(tmp_path, source, sentence):
    (tmp_path / "model.py").write_text(source)
    modules, path = set(sys.modules), list(sys.path)
    with pytest.raises(ModelError) as caught:
        load(tmp_path, OPTIONS)
    assert sentence in str(caught.value)
    assert {name for name in set(sys.modules) - modules if "everwarm_model" in name} == set()
    assert sys.path == path


def test_modules_beside_it_are_found_and_forgotten_so_that_names_may_repeat(tmp_path):
    answers = {}
    for name in ("one", "two"):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "shared_name.py").write_text(f"WHO = {name!r}")
        (directory / "model.py").write_text(
            "import shared_name\n\nclass Model:\n    def predict(self, _):\n        return {'who': shared_name.WHO}\n"
        )
        path = list(sys.path)
        runtime = load(directory, OPTIONS)
        assert sys.path == path
        answers[name] = runtime.infer({}, {})["who"].item()
        runtime.close()
        assert "shared_name" not in sys.modules
    assert answers == {"one": b"one", "two": b"two"}


def test_modules_are_forgotten_where_the_directory_is_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "beside_a_link.py").write_text("")
    (tmp_path / "real" / "model.py").write_text(
        "import beside_a_link\nclass Model:\n    def predict(self, _): return {}\n"
    )
    before = set(sys.modules)
    load(tmp_path / "link", OPTIONS).close()
    assert {name for name in set(sys.modules) - before if "model" in name or "beside" in name} == set()


def test_it_is_not_quantised(tmp_path):
    (tmp_path / "model.py").write_text("class Model:\n    def predict(self, _): return {}\n")
    (tmp_path / "model.toml").write_text('[quantization]\nmethod = "int8"\nmax_absolute_error = 1')
    with pytest.raises(ModelError, match=r"leave \[quantization\] out"):
        load(tmp_path, OPTIONS)


COUNTERS = {
    "generator": """
        class Model:
            closed = False

            def predict(self, inputs, parameters):
                try:
                    for i in range(parameters["n"]):
                        yield {"i": i}
                    if "fail" in parameters:
                        1 / 0
                finally:
                    self.closed = True
    """,
    "asynchronous generator": """
        import asyncio

        class Model:
            closed = False

            async def predict(self, inputs, parameters):
                try:
                    for i in range(parameters["n"]):
                        await asyncio.sleep(0)
                        yield {"i": i}
                    if "fail" in parameters:
                        1 / 0
                finally:
                    await asyncio.sleep(0)
                    self.closed = True
    """,
    "iterator": """
        class Count:
            def __init__(self, model, parameters):
                self.model, self.i, self.n, self.fail = model, -1, parameters["n"], "fail" in parameters

            def __iter__(self):
                return self

            def __next__(self):
                self.i += 1
                if self.i < self.n:
                    return {"i": self.i}
                if self.fail:
                    1 / 0
                raise StopIteration

        class Model:
            streams = closed = True

            def predict(self, inputs, parameters):
                return Count(self, parameters)
    """,
    "coroutine that returns an iterator": """
        class Model:
            streams = closed = True

            async def predict(self, inputs, parameters):
                return self.count(parameters)

            async def count(self, parameters):
                for i in range(parameters["n"]):
                    yield {"i": i}
                if "fail" in parameters:
                    1 / 0
    """,
}


@pytest.fixture(params=COUNTERS)
def counter(request, model):
    return model(COUNTERS[request.param])


def test_each_yield_is_an_answer(counter):
    assert counter.streams
    assert [answer["i"].item() for answer in counter.stream({}, {"n": 3})] == [0, 1, 2]
    assert list(counter.stream({}, {"n": 0})) == []


def test_a_stream_that_fails_says_so_after_what_it_gave(counter, caplog):
    answers = counter.stream({}, {"n": 1, "fail": True})
    assert next(answers)["i"] == 0
    with pytest.raises(InferenceFailed, match=r"^The model failed: ZeroDivisionError: division by zero$"):
        next(answers)
    assert "Traceback" in caplog.text


def test_a_stream_that_nobody_reads_on_is_closed(counter):
    answers = counter.stream({}, {"n": 3})
    next(answers)
    answers.close()
    assert counter._model.closed


def test_where_there_is_room_for_one_answer_one_is_what_it_may_give(counter):
    assert counter.infer({}, {"n": 1}) == {"i": 0}
    with pytest.raises(InvalidInput, match=r"gave more than one answer to this request: ask for them as a stream"):
        counter.infer({}, {"n": 2})
    with pytest.raises(InvalidInput, match="gave no answer to this request"):
        counter.infer({}, {"n": 0})


def test_a_model_that_streams_may_answer_once_without_an_iterator(model):
    runtime = model("""
        class Model:
            streams = True

            def predict(self, inputs):
                return {"y": 1}
    """)
    assert list(runtime.stream({}, {})) == [runtime.infer({}, {})] == [{"y": 1}]


def test_a_model_that_answers_once_can_be_read_as_a_stream(model):
    runtime = model(METADATA)
    assert not runtime.streams
    (answer,) = runtime.stream({"x": np.ones(2, np.float32)}, {})
    assert answer["y"].tolist() == [2.0, 2.0]


def test_its_memory_is_what_it_says_or_the_size_of_its_directory(model, tmp_path):
    source = "class Model:\n    def predict(self, inputs): return inputs\n"
    assert model(source).weights_bytes == len(source)
    assert (
        model("class Model:\n    weights_bytes = 5\n    def predict(self, inputs): return inputs\n").weights_bytes == 5
    )
