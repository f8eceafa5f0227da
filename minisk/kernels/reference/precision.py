"""float16 is for storage only: the reference widens it to float32, computes, and narrows the result."""

import numpy as np

from ...backend import Array


def widen(x: Array) -> Array:
    """Return x in the dtype to compute in: float32 for float16, else its own."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def narrow(x: Array, like: Array) -> Array:
    """Return a result in the dtype of the input it was computed from."""
    return x.astype(like.dtype, copy=False)
