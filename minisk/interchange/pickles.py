"""Read a pickle without running it. A pickle is a program; this module allows few instructions, and calls nothing.

Python's own Unpickler interprets them, in the version that is written in Python. Its memo is a dictionary; the memo of
the faster version in C is an array, which five bytes of LONG_BINPUT can make fill the memory. Nothing is imported or
called. A name stays a text, and a subclass recognises the calls that it allows by their names.
Sources: the modules pickle and pickletools.
"""

import io
import pickle
import pickletools
from typing import Any, ClassVar

from ..errors import MiniskError

# Instructions that make values, combine them, and keep and fetch them; no extension, no persistent name, no class.
_ALLOWED = """NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES
BINBYTES8 BINUNICODE SHORT_BINUNICODE BINUNICODE8 EMPTY_LIST EMPTY_DICT EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 TUPLE MARK
APPEND APPENDS SETITEM SETITEMS BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD PROTO
FRAME STOP""".split()  # noqa: SIM905 - forty lines otherwise
# An instruction of one byte can take 80 bytes of memory. CIFAR-100's training file, the largest, has 400,000 of them
# if Python 3 wrote it with protocol 2; a state dict of 1,000 tensors has 40,000.
_MOST_INSTRUCTIONS = 1_000_000


class PlainUnpickler(pickle._Unpickler):
    """Interpret the allowed instructions; names, calls and dictionaries in the ways defined here.

    A subclass defines `names`, `call` and `fill`. There, str("x") in a pattern matches only that text. A plain "x"
    would be compared with each element of an array.

    Attributes:
        names: the names that the pickle may ask for. Each becomes a text.
        purpose: of these names, for the error.
        also_allowed: further instructions.
        most_keys: in all dictionaries of the pickle.
        largest_key: of a whole number as a key; None: keys are text. Large numbers can be chosen to collide.
        error: the class of the error for a pickle that is refused or damaged.
    """

    names: ClassVar[frozenset[str]] = frozenset()
    purpose: ClassVar[str] = ""
    also_allowed: ClassVar[tuple[str, ...]] = ()
    most_keys: ClassVar[int] = 100
    largest_key: ClassVar[int | None] = None
    error: ClassVar[type[MiniskError]] = MiniskError

    stack: list[Any]  # values since the last mark; those below the mark are in metastack
    metastack: list[list[Any]]
    pop_mark: Any

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        self.keys = 0  # entered in dictionaries so far

    def call(self, function: Any, arguments: Any) -> Any:
        """Return the result of an allowed function, given as its name; raise `error` for any other."""
        raise NotImplementedError

    def fill(self, thing: Any, state: Any) -> Any:
        """Return the value that replaces a thing and the state that BUILD gives it; raise `error` for any other."""
        raise NotImplementedError

    def find_class(self, module: str, name: str) -> str:
        """Return a name as text, without importing it. NumPy 2 renamed numpy.core to numpy._core."""
        full = f"{module}.{name}".replace("numpy._core.", "numpy.core.")
        if full not in self.names:
            raise self.error(f"it asks for {full[:80]!a}, which is not part of {self.purpose}")
        return full

    def load_reduce(self) -> None:
        """Replace the last two values, a function and its arguments, by the function's result."""
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self.call(function, arguments))

    def load_build(self) -> None:
        """Replace the last two values, a thing and its state, by the filled thing."""
        state, thing = self.stack.pop(), self.stack.pop()
        self.stack.append(self.fill(thing, state))

    def load_setitem(self) -> None:
        """Enter the last two values, a key and its value, into a dictionary."""
        self._enter([self.stack.pop(-2), self.stack.pop()])

    def load_setitems(self) -> None:
        """Enter all keys and values since the last mark into a dictionary."""
        self._enter(self.pop_mark())

    def _enter(self, items: list[Any]) -> None:
        """Enter keys and values. Keys are text or small numbers: nested tuples hash for ever."""
        self.keys += len(items) // 2
        if self.keys > self.most_keys:
            raise self.error(f"it has more than {self.most_keys:,} dictionary keys")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, bytes) and len(key) <= 100:  # longer keys could be repeated to fill the memory
                key = key.decode("latin-1")
            is_small = type(key) is int and self.largest_key is not None and 0 <= key <= self.largest_key
            if not isinstance(key, str) and not is_small:
                raise TypeError(f"it has a dictionary key of type {type(key).__name__}, expected short text")
            dict.__setitem__(self.stack[-1], key, value)  # raises TypeError if the target is no dictionary

    # Unpickler's table of methods, by the code of the instruction.
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    dispatch |= {pickle.REDUCE[0]: load_reduce, pickle.BUILD[0]: load_build}
    dispatch |= {pickle.SETITEM[0]: load_setitem, pickle.SETITEMS[0]: load_setitems}


def unpickle(reader: PlainUnpickler, data: bytes, what: str) -> Any:
    """Return the value that a pickle describes. Nothing is executed.

    Args:
        reader: made of the same data.
        data: the pickle, of any protocol from 2.
        what: its name in an error.

    Raises:
        MiniskError: of the reader's class. The pickle has another instruction or name, too many of them, or is damaged.
    """
    error_class = reader.error
    try:
        for count, (opcode, _, _) in enumerate(pickletools.genops(data), 1):  # also refuses a value longer than data
            if opcode.name not in _ALLOWED and opcode.name not in reader.also_allowed:
                raise error_class(f"it uses the pickle instruction {opcode.name}")
            if count > _MOST_INSTRUCTIONS:
                raise error_class(f"it has more than {_MOST_INSTRUCTIONS:,} instructions")
        result = reader.load()
        if reader.stack or reader.metastack:
            raise ValueError("it has more than one result")
        return result
    except error_class as error:
        raise error_class(f"{what} is refused: {error}") from None
    except Exception as error:  # neither module lists the exceptions that a damaged pickle can raise
        raise error_class(f"{what} is damaged: {str(error) or type(error).__name__}") from error
