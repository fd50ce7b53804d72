import pickle
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from everwarm_server.errors import InferenceFailed, InvalidInput, ModelError
from everwarm_server.protocol.tensors import ModelMetadata, TensorSpec
from everwarm_server.runtime.load import LoadOptions, load
from everwarm_server.runtime.warmup import warm_up

OPTIONS = LoadOptions(name="m", version="2", threads=1)
X = np.random.default_rng(0).normal(size=(60, 4))
LABELS = np.where(X[:, 0] > 0, "yes", "no")


def save(directory, estimator, toml=""):
    skops.io.dump(estimator, directory / "model.skops")
    (directory / "model.toml").write_text(toml)
    return directory


def spec(kind, name, datatype, shape):
    return f'[[{kind}]]\nname = "{name}"\ndatatype = "{datatype}"\nshape = {shape}\n'


def test_a_pipeline_answers_what_it_predicts(tmp_path):
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, LABELS)
    runtime = load(save(tmp_path, estimator), OPTIONS)
    warm_up(runtime, tmp_path)
    assert runtime.metadata == ModelMetadata(
        "m", "2", "sklearn_skops", (TensorSpec("x", "FP64", (-1, 4)),), (TensorSpec("predict", "BYTES", (-1,)),)
    )
    assert runtime.infer({"x": X}, {})["predict"].tolist() == [label.encode() for label in estimator.predict(X)]
    assert (runtime.device, runtime.only_computes, runtime.streams) == ("cpu", True, False)
    assert runtime.weights_bytes > X.shape[1] * 8
    runtime.close()


@pytest.mark.parametrize(
    ("estimator", "target", "output"),
    [
        (LinearRegression(), X[:, 0], TensorSpec("predict", "FP64", (-1,))),
        (LinearRegression(), X[:, :2], TensorSpec("predict", "FP64", (-1, 2))),
        (LogisticRegression(), X[:, 0] > 0, TensorSpec("predict", "BOOL", (-1,))),
        (LogisticRegression(), (X[:, 0] > 0).astype(np.int64), TensorSpec("predict", "INT64", (-1,))),
        (KMeans(2, random_state=0), None, TensorSpec("predict", "INT32", (-1,))),
    ],
)
def test_the_output_is_described_by_what_the_estimator_gives(tmp_path, estimator, target, output):
    estimator.fit(X, target)
    runtime = load(save(tmp_path, estimator), OPTIONS)
    assert runtime.metadata.outputs == (output,)
    assert np.array_equal(runtime.infer({"x": X}, {})["predict"], estimator.predict(X))


def test_the_outputs_of_model_toml_are_methods(tmp_path):
    estimator = LogisticRegression().fit(X, LABELS)
    toml = spec("outputs", "predict_proba", "FP32", [-1, 2]) + spec("outputs", "decision_function", "FP64", [-1])
    outputs = load(save(tmp_path, estimator, toml), OPTIONS).infer({"x": X}, {})
    assert np.array_equal(outputs["predict_proba"], estimator.predict_proba(X).astype(np.float32))
    assert np.array_equal(outputs["decision_function"], estimator.decision_function(X))


def test_a_transformer_may_be_served(tmp_path):
    estimator = PCA(2).fit(X)
    runtime = load(save(tmp_path, estimator, spec("outputs", "transform", "FP64", [-1, 2])), OPTIONS)
    assert np.array_equal(runtime.infer({"x": X}, {})["transform"], estimator.transform(X))


def test_a_model_of_text_takes_text(tmp_path):
    texts = ["good day", "bad day", "good", "bad"]
    estimator = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0])
    directory = save(tmp_path, estimator)
    with pytest.raises(ModelError, match=r"A Pipeline does not say what it takes, so model\.toml must name its"):
        load(directory, OPTIONS)
    runtime = load(save(tmp_path, estimator, spec("inputs", "text", "BYTES", [-1])), OPTIONS)
    assert runtime.infer({"text": np.array([b"good", b"bad"], object)}, {})["predict"].tolist() == [1, 0]
    with pytest.raises(InvalidInput, match="not UTF-8"):
        runtime.infer({"text": np.array([b"\xff"], object)}, {})


def test_several_inputs_are_the_columns_of_a_frame(tmp_path):
    frame = pd.DataFrame({"colour": ["red", "blue"] * 30, "size": X[:, 0]})
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["colour"]), (StandardScaler(), ["size"])
    )
    estimator = make_pipeline(encoder, LogisticRegression()).fit(frame, LABELS)
    toml = spec("inputs", "size", "FP64", [-1]) + spec("inputs", "colour", "BYTES", [-1, 1])
    runtime = load(save(tmp_path, estimator, toml), OPTIONS)
    colours = np.array([["red"], ["blue"]] * 30, object)
    outputs = runtime.infer({"size": X[:, 0], "colour": np.vectorize(str.encode, otypes=[object])(colours)}, {})
    assert outputs["predict"].tolist() == [label.encode() for label in estimator.predict(frame)]
    with pytest.raises(InvalidInput, match="All arrays must be of the same length"):
        runtime.infer({"size": X[:1, 0], "colour": np.array([b"red", b"red"], object)}, {})


def test_a_model_fitted_on_names_takes_an_array_without_a_word(tmp_path, recwarn):
    estimator = LinearRegression().fit(pd.DataFrame(X, columns=list("abcd")), X[:, 0])
    runtime = load(save(tmp_path, estimator), OPTIONS)
    assert np.allclose(runtime.infer({"x": X}, {})["predict"], X[:, 0])
    assert [str(w.message) for w in recwarn if issubclass(w.category, UserWarning)] == []


FOREST = RandomForestClassifier(3, n_jobs=2, random_state=0).fit(X, LABELS)
TREE = "sklearn.tree._tree.Tree"


def test_types_that_nobody_trusts_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(ModelError) as caught:
        load(save(tmp_path, FOREST), OPTIONS)
    sentence, _, way_out = str(caught.value).partition("[skops] ")
    assert f"makes objects of types that nobody said to trust: {TREE}." in sentence
    runtime = load(save(tmp_path, FOREST, f"[skops]\n{way_out}"), OPTIONS)
    assert runtime.infer({"x": X}, {})["predict"].tolist() == [label.encode() for label in FOREST.predict(X)]
    assert not runtime.only_computes


MINE = """
from sklearn.base import BaseEstimator, TransformerMixin


class Doubled(TransformerMixin, BaseEstimator):
    def fit(self, x, y=None):
        self.n_features_in_ = x.shape[1]
        return self

    def transform(self, x):
        return x * 2
"""


def test_a_type_of_the_owner_may_lie_beside_the_model(tmp_path, monkeypatch):
    (tmp_path / "beside_skops.py").write_text(MINE)
    with monkeypatch.context() as importing:
        importing.syspath_prepend(tmp_path)
        mine = __import__("beside_skops")
        estimator = make_pipeline(mine.Doubled(), LinearRegression()).fit(X, X[:, 0])
        save(tmp_path, estimator, '[skops]\ntrusted = ["beside_skops.Doubled"]')
    expected = estimator.predict(X)
    del sys.modules["beside_skops"]
    runtime = load(tmp_path, OPTIONS)
    assert np.allclose(runtime.infer({"x": X}, {})["predict"], expected)
    runtime.close()
    assert "beside_skops" not in sys.modules


def test_threads_for_each_request_are_not_started(tmp_path):
    runtime = load(save(tmp_path, make_pipeline(FOREST), f'[skops]\ntrusted = ["{TREE}"]'), OPTIONS)
    assert runtime._estimator[0].n_jobs is None


class Payload:
    """Unpickling this raises a marker, in place of anything worse."""

    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


def test_a_pickle_is_not_read(tmp_path):
    (tmp_path / "model.skops").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(ModelError, match=r"skops can't load .*model\.skops: "):
        load(tmp_path, OPTIONS)


def test_a_broken_archive_and_a_missing_file_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.skops", "w") as archive:
        archive.writestr("schema.json", "{")
    with pytest.raises(ModelError, match="skops can't load"):
        load(tmp_path, OPTIONS)
    (tmp_path / "model.skops").unlink()
    with pytest.raises(ModelError, match=r"has no model\.skops\."):
        load(tmp_path, LoadOptions(name="m", format="sklearn"))


@pytest.mark.parametrize(
    ("estimator", "toml", "options", "sentence"),
    [
        (
            LinearRegression().fit(X, X[:, 0]),
            spec("outputs", "predict_proba", "FP64", [-1]),
            {},
            "no method 'predict_p",
        ),
        (LinearRegression(), spec("inputs", "x", "FP64", [-1, 4]), {}, "fails on rows of zeros (NotFittedError: "),
        (LinearRegression().fit(X, X[:, 0]), "", {"device": "cuda"}, "scikit-learn computes on the CPU"),
        (LinearRegression().fit(X, X[:, 0]), "", {"precision": "int8"}, "can't be quantised"),
        ([1, 2], "", {}, "holds a list, which is no estimator of scikit-learn."),
    ],
)
def test_what_cannot_be_served_is_named(tmp_path, estimator, toml, options, sentence):
    with pytest.raises(ModelError) as caught:
        load(save(tmp_path, estimator, toml), LoadOptions(name="m", **options))
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (np.full((1, 4), np.nan), "The model refuses these inputs: Input X contains NaN."),
        (np.zeros((0, 4)), "The model refuses these inputs: Found array with 0 sample(s)"),
    ],
)
def test_what_the_checks_of_scikit_learn_refuse_is_the_clients_fault(tmp_path, x, sentence):
    runtime = load(save(tmp_path, LinearRegression().fit(X, X[:, 0])), OPTIONS)
    with pytest.raises(InvalidInput) as caught:
        runtime.infer({"x": x}, {})
    assert str(caught.value).startswith(sentence)


def test_anything_else_is_the_models(tmp_path, monkeypatch, caplog):
    runtime = load(save(tmp_path, LinearRegression().fit(X, X[:, 0])), OPTIONS)
    monkeypatch.setattr(LinearRegression, "predict", lambda self, x: 1 / 0)
    with pytest.raises(InferenceFailed, match="The model failed: ZeroDivisionError: division by zero"):
        runtime.infer({"x": X}, {})
    assert "Traceback" in caplog.text
