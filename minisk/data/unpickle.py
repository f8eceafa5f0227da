"""Read the Python version of CIFAR without running it: a pickle is a program, and this allows it next to nothing.

Python's own Unpickler does the work, in the version that is written in Python: its memo is a dictionary, whereas that
of the faster one in C fills the memory for five bytes of LONG_BINPUT. It gets to see allowed instructions only.
Nothing is imported or called: a name stays a text, and the few calls that an array takes are recognised by theirs.
Sources: the modules pickle and pickletools.
"""

import io
import pickle
import pickletools
from typing import Any, ClassVar

import numpy as np

from ..errors import DataError

# What makes values, puts them together, and keeps and fetches them; no extension, no persistent name, no class.
_ALLOWED = """NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES
BINBYTES8 BINUNICODE SHORT_BINUNICODE BINUNICODE8 EMPTY_LIST EMPTY_DICT EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 TUPLE MARK
APPEND APPENDS SETITEM SETITEMS BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD PROTO
FRAME STOP""".split()  # noqa: SIM905 - forty lines otherwise
_NAMES = ("numpy.core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype", "_codecs.encode")


def unpickle(data: bytes, what: str) -> Any:
    """Return what a pickle describes: None, bool, int, bytes, str, list, tuple, dict and arrays of uint8, no more.

    what: its name in an error. Dictionary keys written by Python 2 become str. Of an array that the pickle refers
    to more than once, only the first is read; the others are the text "unfilled". Raises DataError for any other
    instruction, name, or kind of array, and for a damaged pickle; nothing is executed.
    """
    try:
        for opcode, _, _ in pickletools.genops(data):  # refuses, too, a value longer than the data
            if opcode.name not in _ALLOWED:
                raise DataError(f"it uses the pickle instruction {opcode.name}")
        reader = _Reader(data)
        result = reader.load()
        if reader.stack or reader.metastack:
            raise ValueError("it has more than one result")
        return result
    except DataError as error:
        raise DataError(f"{what} is refused: {error}") from None
    except Exception as error:  # neither module has a closed list of how a damaged pickle shows
        raise DataError(f"{what} is damaged: {str(error) or type(error).__name__}") from error


class _Reader(pickle._Unpickler):
    """Unpickler with its own way of looking up, calling, filling and entering; for allowed instructions only.

    In the patterns, str("x") matches nothing but that text, where "x" alone would compare with each byte of an array.
    """

    stack: list[Any]  # since the last mark; what lies below it waits in the metastack
    metastack: list[list[Any]]
    pop_mark: Any

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        self.room = len(data)  # how many bytes encode may still make

    def find_class(self, module: str, name: str) -> str:
        """Return a name as text: there is nothing to import. NumPy 2 renamed numpy.core to numpy._core."""
        full = f"{module}.{name}".replace("numpy._core.", "numpy.core.")
        if full not in _NAMES:
            raise DataError(f"it asks for {full[:80]!a}, which is not part of an array of numbers")
        return full

    def load_reduce(self) -> None:
        """Call a function: put its result in the place of the last two values, itself and its arguments."""
        arguments, function = self.stack.pop(), self.stack.pop()
        match function, arguments:
            case str("numpy.core.multiarray._reconstruct"), (str("numpy.ndarray"), *_):
                self.stack.append("unfilled")
            case str("numpy.dtype"), (str("u1") | bytes(b"u1"), *_):
                self.stack.append("uint8")
            case str("numpy.dtype"), (str(code) | bytes(code), *_):
                raise DataError(f"it has an array of dtype {code[:20]!r}, expected bytes, 'u1'")
            case str("_codecs.encode"), (str(text), str("latin1")) if len(text) <= self.room:
                self.room -= len(text)  # each text may be encoded once: the memo could give it a million times
                self.stack.append(text.encode("latin-1"))
            case str("_codecs.encode"), (str(), str("latin1")):
                raise DataError("it encodes more text than it holds")
            case _:
                raise DataError("it calls what is not a function of NumPy's arrays")

    def load_build(self) -> None:
        """Fill an array from its state (version, shape, dtype, Fortran order, bytes); leave the dtype as it is."""
        state, thing = self.stack.pop(), self.stack.pop()
        match thing, state:
            case str("uint8"), tuple():
                self.stack.append(thing)
            case str("unfilled"), (_, tuple(shape), str("uint8"), fortran, bytes(content)):
                if len(shape) > 4 or not all(isinstance(size, int) and 0 <= size <= len(content) for size in shape):
                    raise DataError(f"it has an array of {len(content)} bytes and of a shape that they can't fill")
                self.stack.append(np.frombuffer(content, np.uint8).reshape(shape, order="F" if fortran else "C"))
            case _:
                raise DataError("it fills what is not an array of bytes")

    def load_setitem(self) -> None:
        """Enter the last two values, a key and what belongs to it, into a dictionary."""
        self._enter([self.stack.pop(-2), self.stack.pop()])

    def load_setitems(self) -> None:
        """Enter all keys and values since the last mark into a dictionary."""
        self._enter(self.pop_mark())

    def _enter(self, items: list[Any]) -> None:
        """Enter keys and values. A key is a number or a text: hashing nested tuples can take for ever."""
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, bytes) and len(key) <= 100:  # short, as each use of it makes a new text
                key = key.decode("latin-1")
            if not isinstance(key, str | int):
                raise TypeError(f"it has a dictionary key of type {type(key).__name__}, expected short text")
            dict.__setitem__(self.stack[-1], key, value)  # refuses what is no dictionary

    # Where Unpickler looks its methods up, by the instruction's code.
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    dispatch |= {pickle.REDUCE[0]: load_reduce, pickle.BUILD[0]: load_build}
    dispatch |= {pickle.SETITEM[0]: load_setitem, pickle.SETITEMS[0]: load_setitems}
