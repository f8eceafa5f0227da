"""Pack the arguments of a launch as a built library reads them: one after the other, in slots of 16 bytes."""

import ctypes
import struct
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from .description import Described
from .memory import address_of

Args: TypeAlias = Sequence[Any]  # a kernel's arguments: arrays and NumPy scalars

# The format of a number for `struct`, by NumPy's kind and size; other arguments are bytes.
_LETTERS = {"f2": "e", "f4": "f", "f8": "d", "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q"}
_LETTERS |= {"u1": "B", "u2": "H", "u4": "I", "u8": "Q"}
_POINTER = "Q"
_STRICT = set("fdbhiqBHIQ")  # `struct` refuses for these what `description.scalar` refuses
_SLOT = 16  # bytes; each argument begins at a multiple, as the strictest type, float4, requires
LARGEST_INDEX = 2**31 - 1
_LARGEST_DOUBLE = 2**53  # of whole numbers up to which a double holds each: `struct` makes a float of a double


class Packing:
    """How one kernel's arguments are packed.

    Args:
        parameters: their types.
    """

    def __init__(self, parameters: Sequence[Described]) -> None:
        letters = [_letter(each) for each in parameters]
        sizes = [8 if each.is_array else each.dtype.itemsize for each in parameters]
        padded = [f"{letter}{-size % _SLOT}x" for letter, size in zip(letters, sizes, strict=True)]
        self._pack = struct.Struct("=" + "".join(padded)).pack
        self._kinds = [each.dtype if each.is_array else each.dtype.kind for each in parameters]
        self._is_strict = _STRICT.issuperset(letters)

    def pack(self, args: Args) -> bytes:
        """Return the arguments of a launch, which was checked, packed."""
        return self._pack(*[address_of(arg) if isinstance(arg, np.ndarray) else arg for arg in args])

    def pack_usual(self, args: Args) -> bytes | None:
        """Return the arguments of a launch that was not checked, packed; None if it must be looked at closely.

        The usual launch has whole arrays of NumPy, writable, of the declared dtypes and with positions of 32 bits, or
        null pointers, and numbers that their parameters take as they are.
        """
        if not self._is_strict:
            return None
        try:
            return self._pack(*[_usual(arg, kind) for arg, kind in zip(args, self._kinds, strict=True)])
        except (TypeError, ValueError, OverflowError, struct.error):
            return None


def _usual(arg: Any, kind: np.dtype[Any] | str) -> Any:
    """Return a number as it is, and the address of an array. Raises TypeError or ValueError for an unusual one.

    kind: the dtype of an array's elements, or NumPy's letter for the kind of a number.
    """
    if isinstance(kind, str):
        if kind != "f" or isinstance(arg, float) or (type(arg) is int and abs(arg) <= _LARGEST_DOUBLE):
            return arg
    elif type(arg) is np.ndarray and (arg.dtype is kind or arg.dtype == kind) and arg.size <= LARGEST_INDEX:
        # from_buffer refuses an array that is read-only, empty, or has gaps.
        return ctypes.addressof(ctypes.c_char.from_buffer(arg))  # type: ignore[arg-type]
    elif arg is None or (type(arg) is int and arg == 0):
        return 0  # a null pointer
    raise TypeError


def _letter(parameter: Described) -> str:
    """Return the format of an argument for `struct`."""
    known = _POINTER if parameter.is_array else _LETTERS.get(parameter.dtype.str[1:])
    return known or f"{parameter.dtype.itemsize}s"
