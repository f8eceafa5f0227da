"""The types of kernel parameters and device variables, as a built library describes them (include/describe.h)."""

import ctypes
import operator
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

_WORD = re.compile(r"\w+|\*c?|[^\w\s]")


class Described(NamedTuple):
    """A parameter's type. dtype: NumPy's, of the elements if it is an array; bfloat16 is uint16."""

    dtype: np.dtype[Any]
    is_array: bool
    is_const: bool


def parameters_of(library: ctypes.CDLL, symbol: str) -> list[Described]:
    """Return the types of a kernel's parameters. symbol: the suffix of the library's functions for this kernel."""
    function = library[f"minisk_parameters_{symbol}"]
    function.restype = ctypes.c_char_p
    words = function().decode().split(",")[:-1]
    return [_described(text) for text in words]


def variable_in(library: ctypes.CDLL, symbol: str) -> np.ndarray[Any, Any]:
    """Return the memory of a device variable as an array: writing to it changes the variable.

    Raises:
        AttributeError: the library has no such variable.
    """
    function = library[f"minisk_variable_{symbol}"]
    function.restype = ctypes.c_void_p
    text, size = ctypes.c_char_p(), ctypes.c_size_t()
    address = function(ctypes.byref(text), ctypes.byref(size))
    memory = (ctypes.c_uint8 * size.value).from_address(address)
    dtype = _described((text.value or b"v1").decode()).dtype
    elements: np.ndarray[Any, Any] = np.ctypeslib.as_array(memory).view(dtype.base)
    return elements.reshape(dtype.shape)


def accepts(dtype: np.dtype[Any], given: np.dtype[Any]) -> bool:
    """Return whether an array may be passed for a pointer to elements of a dtype.

    A vector such as float4 takes arrays of its components, float2 also complex64; void and an unknown struct take any.
    A struct takes bytes and records of its size. One of equal numbers, such as four floats, takes arrays of them.
    """
    if dtype.kind == "V" and dtype.names is None and dtype.subdtype is None:
        return True
    if dtype.names is not None:
        numbers = [number for _, number in numbers_of(dtype)]
        is_of_equal_numbers = set(numbers) == {given} and len(numbers) * given.itemsize == dtype.itemsize
        return given == np.uint8 or (given.kind == "V" and given.itemsize == dtype.itemsize) or is_of_equal_numbers
    is_complex = (
        given.kind == "c" and dtype.base.kind == "f" and given.itemsize == dtype.itemsize and dtype.shape == (2,)
    )
    return given in (dtype, dtype.base) or is_complex or (given.name == "bfloat16" and dtype == np.uint16)


def scalar(dtype: np.dtype[Any], value: Any) -> Any:
    """Return a number as a NumPy scalar, and a vector or a struct as bytes.

    Args:
        dtype: of the parameter.
        value: a number; for a vector or struct a sequence of its components or fields, a dict of fields, or bytes.

    Raises:
        TypeError, ValueError, OverflowError: the value does not fit the dtype.
    """
    kind = dtype.kind
    if kind == "f":
        number = dtype.type(value)
        if isinstance(number, np.ndarray):  # NumPy makes an array of a sequence
            raise TypeError("a sequence is no number")
        return number
    if kind != "V":
        return dtype.type(operator.index(value))
    if getattr(value, "dtype", np.dtype("u1")).names:  # a record of NumPy's
        value = value.tobytes()
    elif isinstance(value, dict) and value.keys() == set(dtype.names or ()):
        value = _packed(dtype, [value[name] for name in dtype.names or ()])
    elif not isinstance(value, bytes):
        value = _packed(dtype, value)
    if len(value) != dtype.itemsize:
        raise ValueError(f"{len(value)} bytes, expected {dtype.itemsize}")
    return value


def _packed(dtype: np.dtype[Any], value: Any) -> bytes:
    """Return the components of a vector, or the fields of a struct in their order, as bytes. Raises as `scalar`."""
    places, numbers = list(numbers_of(dtype)), list(_flat(value))
    if not places:
        raise TypeError("its fields are not known")
    if len(numbers) != len(places):
        what = f"the fields {', '.join(dtype.names)}" if dtype.names else "components"
        count = "1 value" if len(numbers) == 1 else f"{len(numbers)} values"
        raise ValueError(f"{count}, expected {len(places)}: {what}")
    memory = bytearray(dtype.itemsize)
    for (offset, number_type), number in zip(places, numbers, strict=True):
        is_null = number is None and number_type == np.uint64
        packed = scalar(number_type, 0 if is_null else number).tobytes()
        memory[offset : offset + len(packed)] = packed
    return bytes(memory)


def numbers_of(dtype: np.dtype[Any], start: int = 0) -> Iterator[tuple[int, np.dtype[Any]]]:
    """Yield the offset and the type of each number in a vector or a struct."""
    if dtype.subdtype is not None:
        step = dtype.base.itemsize
        for offset in range(start, start + dtype.itemsize, step):
            yield from numbers_of(dtype.base, offset)
    elif dtype.names is not None:
        for name in dtype.names:
            field, offset = dtype.fields[name][:2]  # type: ignore[index]
            yield from numbers_of(field, start + offset)
    elif dtype.kind != "V":
        yield start, dtype


def _flat(value: Any) -> Iterator[Any]:
    """Yield the numbers of nested sequences."""
    if isinstance(value, Sequence) or hasattr(value, "__len__"):
        for each in value:
            yield from _flat(each)
    else:
        yield value


def _described(text: str) -> Described:
    is_array, is_const = text.startswith("*"), text.startswith("*c")
    words = _WORD.findall(text.removeprefix("*").removeprefix("c") if is_array else text)
    dtype, rest = _dtype(words)
    assert not rest, text
    return Described(dtype, is_array, is_const)


def _dtype(words: list[str]) -> tuple[np.dtype[Any], list[str]]:
    """Read a type from the front of the words; return it and the remaining words."""
    first, rest = words[0], words[1:]
    dtype: np.dtype[Any]
    if first.startswith("*"):  # a pointer within a struct
        _, rest = _dtype(rest)
        dtype = np.dtype("uint64")
    elif first == "{":
        dtype, rest = _struct(rest)
    elif first[0] == "p":
        dtype = np.dtype("uint64")
    else:
        name = {"E2": "u2", "v1": "V1"}.get(first, first)
        dtype = np.dtype(name)
    while rest[:1] == ["["]:
        dtype, rest = np.dtype((dtype.base, (int(rest[1]), *dtype.shape))), rest[3:]
    return dtype, rest


def _struct(words: list[str]) -> tuple[np.dtype[Any], list[str]]:
    """Read a struct after its opening brace. Without known fields, it is bytes of its size."""
    size, rest = int(words[0]), words[1:]
    names, offsets, formats = [], [], []
    while rest[0] == ";":
        names.append(rest[1])
        offsets.append(int(rest[3]))
        dtype, rest = _dtype(rest[5:])
        formats.append(dtype)
    fields = {"names": names, "offsets": offsets, "formats": formats, "itemsize": size}
    return np.dtype(fields) if names else np.dtype(f"V{size}"), rest[1:]  # type: ignore[call-overload]
