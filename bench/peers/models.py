"""The two models that every server of the bench serves, the same numpy code everywhere: an array in, an array out."""

from typing import Any, Final, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_RANDOM: Final = np.random.default_rng(42)
W1: Final = _RANDOM.normal(0, 0.05, (784, 256)).astype(np.float32)
B1: Final = np.zeros(256, np.float32)
W2: Final = _RANDOM.normal(0, 0.05, (256, 10)).astype(np.float32)
B2: Final = np.zeros(10, np.float32)


def mlp(x: Array) -> Array:
    """A perceptron 784-256-10, about 22 us for one row."""
    return np.asarray(np.maximum(x @ W1 + B1, 0) @ W2 + B2)


def image(x: Array) -> Array:
    """The mean of each channel of images [n, 3, 224, 224]."""
    return np.asarray(x.reshape(len(x), 3, -1).mean(axis=2, dtype=np.float32))


MODELS: Final = {"mlp": mlp, "image": image}
