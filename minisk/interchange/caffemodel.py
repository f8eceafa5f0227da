"""Read the weights of a .caffemodel without Caffe and without protobuf.

A message of protobuf is a sequence of fields. A field is a key (number · 8 + kind) and a value:

    kind 0: a varint, 7 bits a byte, lowest first        kind 1, 5: 8 or 4 bytes        kind 2: length, then that many

    NetParameter     layer = 100, or in older files layers = 2
    LayerParameter   name = 1, blobs = 7                 in older files name = 4, blobs = 6
    BlobProto        num, channels, height, width = 1 … 4 (older), data = 5 (float32), shape = 7, double_data = 8
    BlobShape        dim = 1

Sources: protobuf's document *Encoding*; caffe.proto of BVLC's Caffe.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..backend import Array
from ..errors import CheckpointError

_MOST_FIELDS = 1_000_000  # SKNet-101 has 30,000
_MOST_DIMENSIONS = 32  # Caffe's own limit
_NEW, _OLD = (1, 7), (4, 6)  # field numbers of a layer's name and blobs


def read_caffemodel(path: str | Path) -> dict[str, Array]:
    """Return the blobs of a .caffemodel, named "LAYER#0", "LAYER#1", … in the order of the layer.

    Raises:
        CheckpointError: the file is damaged, or is no NetParameter with layers.
        OSError: the file cannot be read.
    """
    try:
        return _Reader(memoryview(Path(path).read_bytes())).blobs()
    except CheckpointError as error:
        raise CheckpointError(f"weights file {path} is no .caffemodel, or damaged: {error}") from None


class _Reader:
    """Walks over the fields of one file, and counts them."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.fields_left = _MOST_FIELDS

    def blobs(self) -> dict[str, Array]:
        """Return the blobs of all layers."""
        found: dict[str, Array] = {}
        layers = 0
        for number, layer in self.fields(self.data):
            if number not in (2, 100) or not isinstance(layer, memoryview):
                continue
            layers += 1
            name_field, blob_field = _NEW if number == 100 else _OLD
            name, count = "", 0
            parts = list(self.fields(layer))
            for field, value in parts:
                if field == name_field and isinstance(value, memoryview):
                    name = _text(value)
            for field, value in parts:
                if field == blob_field and isinstance(value, memoryview):
                    key = f"{name}#{count}"
                    if key in found:
                        raise CheckpointError(f"two layers have the name {name[:80]!r}")
                    found[key], count = self.blob(value, key), count + 1
        if not layers:
            raise CheckpointError("it has no layers")
        return found

    def fields(self, message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        """Yield (number, value): an int for kind 0, the bytes for the others."""
        at = 0
        while at < len(message):
            self.fields_left -= 1
            if self.fields_left < 0:
                raise CheckpointError(f"it has more than {_MOST_FIELDS:,} fields")
            key, at = _varint(message, at)
            number, kind = key >> 3, key & 7
            if number == 0 or kind not in (0, 1, 2, 5):
                raise CheckpointError(f"it has a field of number {number} and kind {kind}")
            if kind == 0:
                value, at = _varint(message, at)
                yield number, value
                continue
            size, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            if size > len(message) - at:
                raise CheckpointError(f"a field of {size:,} bytes begins {len(message) - at:,} bytes before its end")
            yield number, message[at : at + size]
            at += size

    def blob(self, message: memoryview, name: str) -> Array:
        """Return one blob, float32 or float64."""
        older = [1, 1, 1, 1]
        dims: list[int] | None = None
        parts: list[Array] = []
        for number, value in self.fields(message):
            if number in (1, 2, 3, 4) and isinstance(value, int):
                older[number - 1] = value
            elif number in (5, 8) and isinstance(value, memoryview):
                dtype = np.dtype("<f4" if number == 5 else "<f8")
                if len(value) % dtype.itemsize:
                    raise CheckpointError(f"blob {name[:80]!r} has {len(value):,} bytes of {dtype}")
                parts.append(np.frombuffer(value, dtype))
            elif number == 7 and isinstance(value, memoryview):
                dims = self.dims(value)
        shape = older if dims is None else dims
        size = sum(part.size for part in parts)
        if len(shape) > _MOST_DIMENSIONS or math.prod(shape) != size or max(shape, default=1) > max(size, 1):
            raise CheckpointError(f"blob {name[:80]!r} has {size:,} elements, expected the shape {shape[:8]}")
        values = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        return values.reshape(shape)

    def dims(self, message: memoryview) -> list[int]:
        """Return the sizes of a BlobShape, which may be packed into one field."""
        sizes: list[int] = []
        for number, value in self.fields(message):
            if number == 1 and isinstance(value, int):
                sizes.append(value)
            elif number == 1 and isinstance(value, memoryview):
                at = 0
                while at < len(value) and len(sizes) <= _MOST_DIMENSIONS:
                    size, at = _varint(value, at)
                    sizes.append(size)
        return sizes


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at this position, and the position after it."""
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at
    raise CheckpointError("a number ends too early, or has more than 64 bits")


def _text(value: memoryview) -> str:
    try:
        return bytes(value).decode()
    except UnicodeDecodeError as error:
        raise CheckpointError("a layer's name is not text") from error
