"""Read the Python version of CIFAR without running it: its pickles hold text, numbers and arrays of bytes.

minisk/interchange/pickles.py interprets the pickle. This module recognises the calls that build an array.
"""

from typing import Any, ClassVar

import numpy as np

from .. import interchange
from ..errors import DataError, MiniskError


def unpickle(data: bytes, what: str) -> Any:
    """Return the value that a pickle describes. Nothing is executed.

    Args:
        data: the pickle, of any protocol from 2.
        what: its name in an error.

    Returns:
        None, bool, int, bytes, str, list, tuple, dict with text as keys, and arrays of uint8. Keys that Python 2 wrote
        become str. An array that the pickle refers to more than once is read once; the other references are the text
        "unfilled".

    Raises:
        DataError: the pickle has another instruction, name or kind of array, too many of them, or is damaged.
    """
    return interchange.unpickle(_Reader(data), data, what)


class _Reader(interchange.PlainUnpickler):
    """Build arrays of uint8 from the calls and states that NumPy writes."""

    names = frozenset({"numpy.core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype", "_codecs.encode"})
    purpose = "an array of numbers"
    most_keys = 100  # CIFAR has 5
    error: ClassVar[type[MiniskError]] = DataError

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.room = len(data)  # bytes that encode may still make

    def call(self, function: Any, arguments: Any) -> Any:
        """Return an unfilled array, a dtype or encoded bytes."""
        match function, arguments:
            case str("numpy.core.multiarray._reconstruct"), (str("numpy.ndarray"), *_):
                return "unfilled"
            case str("numpy.dtype"), (str("u1") | bytes(b"u1"), *_):
                return "uint8"
            case str("numpy.dtype"), (str(code) | bytes(code), *_):
                raise DataError(f"it has an array of dtype {code[:20]!r}, expected bytes, 'u1'")
            case str("_codecs.encode"), (str(text), str("latin1")) if len(text) <= self.room:
                self.room -= len(text)  # the memo could repeat a text a million times
                return text.encode("latin-1")
            case str("_codecs.encode"), (str(), str("latin1")):
                raise DataError("it encodes more text than it holds")
        raise DataError("it calls a function other than those of NumPy's arrays")

    def fill(self, thing: Any, state: Any) -> Any:
        """Return an array of its state (version, shape, dtype, Fortran order, bytes), or the dtype as it is."""
        match thing, state:
            case str("uint8"), tuple():
                return thing
            case str("unfilled"), (_, tuple(shape), str("uint8"), fortran, bytes(content)):
                if len(shape) > 4 or not all(isinstance(size, int) and 0 <= size <= len(content) for size in shape):
                    raise DataError(f"it has an array of {len(content)} bytes and a shape that they can't fill")
                return np.frombuffer(content, np.uint8).reshape(shape, order="F" if fortran else "C")
        raise DataError("it fills another value than an array of bytes")
