"""`st.from_type(Tensor)`: any tensor of any datatype that the protocols have."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from everwarm_server.protocol.tensors import DTYPES, Tensor


def numbers(datatype):
    dtype = DTYPES[datatype]
    drawn = np.dtype(np.uint16) if datatype == "BF16" else dtype  # hypothesis knows numpy's own
    return arrays.arrays(drawn, arrays.array_shapes(min_dims=0, min_side=0, max_side=4)).map(
        lambda array: Tensor("t", datatype, array.view(dtype))
    )


def strings(shape):
    size = int(np.prod(shape))
    return st.lists(st.binary(max_size=9), min_size=size, max_size=size).map(
        lambda flat: Tensor("t", "BYTES", np.array([*flat, None], object)[:-1].reshape(shape))
    )


st.register_type_strategy(
    Tensor,
    st.sampled_from([name for name in DTYPES if name != "BYTES"]).flatmap(numbers)
    | arrays.array_shapes(min_side=0, max_side=4).flatmap(strings),
)
