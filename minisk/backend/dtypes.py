"""The dtypes of Tensors, and the one way by which data from outside becomes an array of one of them."""

import reprlib
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..errors import DtypeError, ShapeError
from .device import Array

# All in native byte order, which the kernels need.
REAL_DTYPES = frozenset(
    [np.dtype(np.bool_)]
    + [np.dtype(f"{kind}{size}") for kind, sizes in (("i", "1248"), ("u", "1248"), ("f", "248")) for size in sizes]
)


def real_dtype(operation: str, dtype: DTypeLike) -> np.dtype[Any]:
    """Return the dtype in native byte order. Raises DtypeError, naming the operation, unless it is in REAL_DTYPES."""
    try:
        native = np.dtype(dtype).newbyteorder("=")
    except TypeError:
        raise DtypeError(f"{operation}: {dtype!r} is not a dtype") from None
    if native not in REAL_DTYPES:
        raise DtypeError(f"{operation}: expected bool, an integer dtype or float16, float32 or float64, got {native}")
    return native


def real_array(operation: str, value: Any) -> Array:
    """Return real numbers as an array in REAL_DTYPES: an array as it is where that is possible, without a copy.

    Args:
        operation: the name for an error.
        value: a number, an array of any shape, or nested sequences of numbers.

    Raises:
        DtypeError: if the value holds anything else: None, text, complex numbers, dates, objects, a mask.
        ShapeError: if nested sequences differ in length.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise DtypeError(f"{operation}: got a masked array, whose mask would be lost; use .filled(value)")
    try:
        array: Any = value if hasattr(value, "__cuda_array_interface__") else np.asarray(value)
    except ValueError as error:
        raise ShapeError(f"{operation}: {reprlib.repr(value)} is not an array: {error}") from None
    if array.dtype in REAL_DTYPES:
        return array
    native = array.dtype.newbyteorder("=")
    if native not in REAL_DTYPES:
        seen = f"an array of dtype {array.dtype}" if hasattr(value, "dtype") else reprlib.repr(value)
        raise DtypeError(f"{operation}: expected real numbers of at most 64 bits, got {seen}")
    return array.astype(native)
