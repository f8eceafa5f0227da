"""Files of weights as other frameworks write them, made without these frameworks, and broken ones."""

import io
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

STORAGES = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage", "u1": "ByteStorage"}


# --- Pickles ------------------------------------------------------------------------------------------------


@dataclass
class Name:
    """A name that the pickle asks for."""

    module: str
    name: str


@dataclass
class Call:
    """A function and its arguments."""

    function: Any
    arguments: tuple[Any, ...]


@dataclass
class Storage:
    """A reference to the bytes of a storage."""

    kind: Any  # Name("torch", "FloatStorage")
    key: Any
    size: Any


@dataclass
class Raw:
    """Instructions as they are."""

    code: bytes


def instructions(value: Any) -> bytes:
    """Return the instructions of protocol 2 that leave one value on the stack."""
    if isinstance(value, tuple | list | dict):
        return _container(value)
    match value:
        case Raw(code):
            return code
        case Name(module, name):
            return f"c{module}\n{name}\n".encode()
        case Call(function, arguments):
            return instructions(function) + instructions(arguments) + b"R"
        case Storage(kind, key, size):
            return instructions(("storage", kind, key, "cpu", size)) + b"Q"
    return _plain(value)


def _plain(value: Any) -> bytes:
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        size = (value.bit_length() + 8) // 8
        return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    assert isinstance(value, str)
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def _container(value: Any) -> bytes:
    if isinstance(value, tuple):
        return b"(" + b"".join(map(instructions, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(instructions, value)) + b"e"
    return b"}(" + b"".join(instructions(k) + instructions(v) for k, v in value.items()) + b"u"


def pickled(value: Any) -> bytes:
    return b"\x80\x02" + instructions(value) + b"."


REBUILD = Name("torch._utils", "_rebuild_tensor_v2")


def tensor(key: str, size: Any, sizes: Any, strides: Any, offset: Any = 0, kind: str = "FloatStorage") -> Call:
    """Return the call that PyTorch writes for a tensor."""
    storage = Storage(Name("torch", kind), key, size)
    return Call(REBUILD, (storage, offset, sizes, strides, False, Call(Name("collections", "OrderedDict"), ())))


# --- .pth ---------------------------------------------------------------------------------------------------


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def pth(value: Any, storages: dict[str, bytes] | None = None, **members: bytes) -> bytes:
    """Return a .pth whose pickle describes a value, with the bytes of its storages by key."""
    data = value if isinstance(value, bytes) else pickled(value)
    parts = {f"archive/{name}": content for name, content in {"byteorder": b"little", **members}.items()}
    parts |= {f"archive/data/{key}": content for key, content in (storages or {}).items()}
    return zipped({"archive/data.pkl": data, **parts})


def pth_of_arrays(arrays: dict[str, Any], wrap: Any = lambda state: state) -> bytes:
    """Return a .pth of a state dict; wrap: returns the whole value for the state dict."""
    state, storages = {}, {}
    for index, (name, array) in enumerate(arrays.items()):
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        strides = tuple(s // array.itemsize for s in array.strides)
        kind = STORAGES[array.dtype.str[1:]]
        state[name] = tensor(str(index), array.size, array.shape, strides, kind=kind)
        storages[str(index)] = array.tobytes()
    return pth(wrap(state), storages)


# --- .caffemodel --------------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bytes) -> bytes:
    """Return a field of protobuf: a number, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def blob(array: Any, dims: Any = None) -> bytes:
    array = np.asarray(array)
    shape = b"".join(map(varint, array.shape if dims is None else dims))
    number = {"f4": 5, "f8": 8}[array.dtype.str[1:]]
    return field(7, field(1, shape)) + field(number, array.tobytes())


def layer(name: str, *blobs: bytes) -> bytes:
    return field(100, field(1, name.encode()) + field(2, b"Convolution") + b"".join(field(7, b) for b in blobs))


def caffemodel(layers: dict[str, list[Any]]) -> bytes:
    """Return a .caffemodel of layers with arrays."""
    return field(1, b"net") + b"".join(layer(name, *map(blob, arrays)) for name, arrays in layers.items())


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path
