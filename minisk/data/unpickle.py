"""Read the Python version of CIFAR without running it. A pickle is a program; this module allows few instructions.

Python's own Unpickler interprets them, in the version that is written in Python. Its memo is a dictionary; the memo of
the faster version in C is an array, which five bytes of LONG_BINPUT can make fill the memory. Nothing is imported or
called. A name stays a text, and the calls that build an array are recognised by their names.
Sources: the modules pickle and pickletools.
"""

import io
import pickle
import pickletools
from typing import Any, ClassVar

import numpy as np

from ..errors import DataError

# Instructions that make values, combine them, and keep and fetch them; no extension, no persistent name, no class.
_ALLOWED = """NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES
BINBYTES8 BINUNICODE SHORT_BINUNICODE BINUNICODE8 EMPTY_LIST EMPTY_DICT EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 TUPLE MARK
APPEND APPENDS SETITEM SETITEMS BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD PROTO
FRAME STOP""".split()  # noqa: SIM905 - forty lines otherwise
_NAMES = ("numpy.core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype", "_codecs.encode")
# An instruction of one byte can take 80 bytes of memory. CIFAR-100's training file, the largest, has 400,000 of them
# if Python 3 wrote it with protocol 2.
_MOST_INSTRUCTIONS = 1_000_000
_MOST_KEYS = 100  # in all dictionaries of a file; CIFAR has 5


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
    try:
        for count, (opcode, _, _) in enumerate(pickletools.genops(data), 1):  # also refuses a value longer than data
            if opcode.name not in _ALLOWED:
                raise DataError(f"it uses the pickle instruction {opcode.name}")
            if count > _MOST_INSTRUCTIONS:
                raise DataError(f"it has more than {_MOST_INSTRUCTIONS:,} instructions")
        reader = _Reader(data)
        result = reader.load()
        if reader.stack or reader.metastack:
            raise ValueError("it has more than one result")
        return result
    except DataError as error:
        raise DataError(f"{what} is refused: {error}") from None
    except Exception as error:  # neither module lists the exceptions that a damaged pickle can raise
        raise DataError(f"{what} is damaged: {str(error) or type(error).__name__}") from error


class _Reader(pickle._Unpickler):
    """Interpret the allowed instructions; names, calls, arrays and dictionaries in the ways defined here.

    In the patterns, str("x") matches only that text. A plain "x" would be compared with each element of an array.
    """

    stack: list[Any]  # values since the last mark; those below the mark are in metastack
    metastack: list[list[Any]]
    pop_mark: Any

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        self.room = len(data)  # bytes that encode may still make
        self.keys = 0  # entered in dictionaries so far

    def find_class(self, module: str, name: str) -> str:
        """Return a name as text, without importing it. NumPy 2 renamed numpy.core to numpy._core."""
        full = f"{module}.{name}".replace("numpy._core.", "numpy.core.")
        if full not in _NAMES:
            raise DataError(f"it asks for {full[:80]!a}, which is not part of an array of numbers")
        return full

    def load_reduce(self) -> None:
        """Replace the last two values, a function and its arguments, by the function's result."""
        arguments, function = self.stack.pop(), self.stack.pop()
        match function, arguments:
            case str("numpy.core.multiarray._reconstruct"), (str("numpy.ndarray"), *_):
                self.stack.append("unfilled")
            case str("numpy.dtype"), (str("u1") | bytes(b"u1"), *_):
                self.stack.append("uint8")
            case str("numpy.dtype"), (str(code) | bytes(code), *_):
                raise DataError(f"it has an array of dtype {code[:20]!r}, expected bytes, 'u1'")
            case str("_codecs.encode"), (str(text), str("latin1")) if len(text) <= self.room:
                self.room -= len(text)  # the memo could repeat a text a million times
                self.stack.append(text.encode("latin-1"))
            case str("_codecs.encode"), (str(), str("latin1")):
                raise DataError("it encodes more text than it holds")
            case _:
                raise DataError("it calls a function other than those of NumPy's arrays")

    def load_build(self) -> None:
        """Fill an array from its state (version, shape, dtype, Fortran order, bytes); leave the dtype as it is."""
        state, thing = self.stack.pop(), self.stack.pop()
        match thing, state:
            case str("uint8"), tuple():
                self.stack.append(thing)
            case str("unfilled"), (_, tuple(shape), str("uint8"), fortran, bytes(content)):
                if len(shape) > 4 or not all(isinstance(size, int) and 0 <= size <= len(content) for size in shape):
                    raise DataError(f"it has an array of {len(content)} bytes and a shape that they can't fill")
                self.stack.append(np.frombuffer(content, np.uint8).reshape(shape, order="F" if fortran else "C"))
            case _:
                raise DataError("it fills another value than an array of bytes")

    def load_setitem(self) -> None:
        """Enter the last two values, a key and its value, into a dictionary."""
        self._enter([self.stack.pop(-2), self.stack.pop()])

    def load_setitems(self) -> None:
        """Enter all keys and values since the last mark into a dictionary."""
        self._enter(self.pop_mark())

    def _enter(self, items: list[Any]) -> None:
        """Enter keys and values. Keys are text: numbers can be chosen to collide, and nested tuples hash for ever."""
        self.keys += len(items) // 2
        if self.keys > _MOST_KEYS:
            raise DataError(f"it has more than {_MOST_KEYS} dictionary keys")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, bytes) and len(key) <= 100:  # longer keys could be repeated to fill the memory
                key = key.decode("latin-1")
            if not isinstance(key, str):
                raise TypeError(f"it has a dictionary key of type {type(key).__name__}, expected short text")
            dict.__setitem__(self.stack[-1], key, value)  # raises TypeError if the target is no dictionary

    # Unpickler's table of methods, by the code of the instruction.
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    dispatch |= {pickle.REDUCE[0]: load_reduce, pickle.BUILD[0]: load_build}
    dispatch |= {pickle.SETITEM[0]: load_setitem, pickle.SETITEMS[0]: load_setitems}
