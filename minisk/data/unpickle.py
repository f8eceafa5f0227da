"""Read the Python version of CIFAR without running it: a pickle is a program, and this is its smallest machine.

Nothing is ever imported or called by name. The machine knows the instructions that dictionaries, lists, numbers,
strings and arrays of bytes are written with, and four names, each of which it replaces by its own few lines.
Python's own Unpickler with a restricted `find_class` would still fill the memory for five bytes of LONG_BINPUT.
Source of the instructions: the module pickletools.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import DataError

# A name keeps its meaning under every module that has held it: numpy.core became numpy._core in NumPy 2.
_RECONSTRUCT, _NDARRAY, _DTYPE, _ENCODE = (object() for _ in range(4))
_GLOBALS = {
    "numpy.core.multiarray _reconstruct": _RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": _RECONSTRUCT,
    "numpy ndarray": _NDARRAY,
    "numpy dtype": _DTYPE,
    "_codecs encode": _ENCODE,
}
_BYTE = object()  # the dtype uint8, the only one
_UNFILLED = object()  # an array whose state is still to come

# What only adds a value to the stack: a new one, or the instruction's own argument.
_MAKES: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1")
_TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
_CARRIES = {*_NUMBERS, *_TEXTS}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def unpickle(data: bytes, what: str) -> Any:
    """Return what a pickle describes: None, bool, int, bytes, str, list, tuple, dict and arrays of uint8, no more.

    what: its name in an error. Dictionary keys written by Python 2 become str. Raises DataError for
    any other instruction, name, or kind of array, and for a damaged pickle; nothing is executed.
    """
    try:
        return _Machine(len(data)).run(data)
    except DataError as error:
        raise DataError(f"{what} is refused: {error}") from None
    except Exception as error:  # pickletools has no closed list of how a damaged pickle shows
        raise DataError(f"{what} is damaged: {error or type(error).__name__}") from error


class _Machine:
    """A stack, the places of open marks on it, and a memo; ``room`` is how many bytes encode may still make."""

    def __init__(self, room: int) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.room = room

    def run(self, data: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(data):
            name = opcode.name
            if name == "STOP":
                (result,) = self.stack
                return result
            if name == "MARK":
                self.marks.append(len(self.stack))
            elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
                place: Any = len(self.memo) if name == "MEMOIZE" else argument
                self.memo[place] = self.stack[-1]
            elif name in _MAKES:
                self.stack.append(_MAKES[name]())
            elif argument is None:
                self._combine(name)
            elif name not in ("PROTO", "FRAME"):
                self.stack.append(self._value(name, argument))
        raise ValueError("it has no end")

    def _value(self, name: str, argument: Any) -> Any:
        """Return what an instruction with an argument adds to the stack."""
        if name in _CARRIES:
            return argument
        if name in ("BINSTRING", "SHORT_BINSTRING"):  # Python 2's bytes, which pickletools shows as Latin-1
            return argument.encode("latin-1")
        if name in ("BINGET", "LONG_BINGET"):
            return self.memo[argument]
        if name == "GLOBAL":
            return _known(argument)
        raise DataError(f"it uses the pickle instruction {name} {str(argument)[:80]!r}")

    def _combine(self, name: str) -> None:
        """Carry out an instruction that takes values from the stack."""
        if name in _TUPLES:
            self.stack.append(tuple(self._take(_TUPLES[name])))
        elif name == "TUPLE":
            self.stack.append(tuple(self._take_marked()))
        elif name in ("APPEND", "APPENDS"):
            items = self._take(1) if name == "APPEND" else self._take_marked()
            _of_type(self.stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._take(2) if name == "SETITEM" else self._take_marked()
            pairs = zip(items[::2], items[1::2], strict=True)
            _of_type(self.stack[-1], dict).update((_key(key), value) for key, value in pairs)
        elif name == "STACK_GLOBAL":
            module, attribute = self._take(2)
            self.stack.append(_known(f"{_of_type(module, str)} {_of_type(attribute, str)}"))
        elif name == "REDUCE":
            function, arguments = self._take(2)
            self.stack.append(self._call(function, _of_type(arguments, tuple)))
        elif name == "BUILD":
            thing, state = self._take(2)
            self.stack.append(_filled(thing, _of_type(state, tuple)))
        else:
            raise DataError(f"it uses the pickle instruction {name}")

    def _take(self, count: int) -> list[Any]:
        first = len(self.stack) - count
        if first < (self.marks[-1] if self.marks else 0):
            raise ValueError("it takes more than it made")
        taken = self.stack[first:]
        del self.stack[first:]
        return taken

    def _take_marked(self) -> list[Any]:
        return self._take(len(self.stack) - self.marks.pop())

    def _call(self, function: object, arguments: tuple[Any, ...]) -> Any:
        if function is _RECONSTRUCT and arguments[0] is _NDARRAY:
            return _UNFILLED
        if function is _DTYPE:
            code = arguments[0]
            if not isinstance(code, str | bytes) or code not in ("u1", b"u1"):
                shown = repr(code[:20]) if isinstance(code, str | bytes) else type(code).__name__
                raise DataError(f"it has an array of dtype {shown}, expected bytes, 'u1'")
            return _BYTE
        if function is _ENCODE and _of_type(arguments[1], str) == "latin1":
            text = _of_type(arguments[0], str)
            self.room -= len(text)  # each text may be encoded once: the memo could give it a million times
            if self.room < 0:
                raise DataError("it encodes more text than it holds")
            return text.encode("latin-1")
        raise DataError("it calls what is not a function of NumPy's arrays")


def _known(name: str) -> object:
    if name not in _GLOBALS:
        raise DataError(f"it asks for {name[:80].replace(' ', '.')!a}, which is not part of an array of numbers")
    return _GLOBALS[name]


def _filled(thing: object, state: tuple[Any, ...]) -> Any:
    """Return the array that a state (version, shape, dtype, Fortran order, bytes) describes, or the dtype as it is."""
    if thing is _BYTE:
        return thing
    if thing is not _UNFILLED or len(state) != 5 or state[2] is not _BYTE:
        raise DataError("it fills what is not an array of bytes")
    values = np.frombuffer(_of_type(state[4], bytes), dtype=np.uint8)
    shape = _of_type(state[1], tuple)
    if len(shape) > 4 or any(not 0 <= _of_type(size, int) <= len(values) for size in shape):
        raise DataError(f"it has an array of {len(values)} bytes and of a shape that they can't fill")
    return values.reshape(shape, order="F" if state[3] else "C")


def _of_type(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"it has {type(value).__name__} where {kind.__name__} belongs")
    return value


def _key(key: Any) -> str | int:
    """Return a dictionary key, Python 2's bytes as text. Nothing else: hashing nested tuples can take for ever."""
    if isinstance(key, bytes):
        return key.decode("latin-1")
    if not isinstance(key, str | int):
        raise TypeError(f"it has a dictionary key of type {type(key).__name__}")
    return key
