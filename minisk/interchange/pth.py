"""Read a .pth of `torch.save` without PyTorch.

The file is a zip. NAME/data.pkl is a pickle that refers to storages by key; NAME/data/KEY holds the bytes of a storage,
in the order that NAME/byteorder names. A tensor is a view of a storage: offset, sizes and strides, counted in elements.

    torch._utils._rebuild_tensor_v2(storage, offset, sizes, strides, …)

Source: torch/serialization.py and torch/_utils.py of PyTorch 2.13.
"""

import math
import zipfile
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from ..backend import Array
from ..errors import CheckpointError, MiniskError
from .pickles import PlainUnpickler, unpickle
from .zips import opened_zip, read_member, unpacked_limit

_STORAGES = {  # torch's name → dtype
    "torch.FloatStorage": "f4",
    "torch.DoubleStorage": "f8",
    "torch.HalfStorage": "f2",
    "torch.BFloat16Storage": "u2",  # the upper half of a float32
    "torch.LongStorage": "i8",
    "torch.IntStorage": "i4",
    "torch.ShortStorage": "i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
}
_MOST_PICKLE_BYTES = 64 << 20
_MOST_DIMENSIONS = 8


def read_pth(path: str | Path) -> Any:
    """Return what a file of `torch.save` holds: dictionaries, lists, texts, numbers, and arrays in place of tensors.

    bfloat16 becomes float32.

    Raises:
        CheckpointError: the file is damaged, or holds more than weights: a whole module, for example.
    """
    what = f"weights file {path}"
    with opened_zip(path, what) as archive:
        pickled = [name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
        if any(name.endswith("/constants.pkl") for name in archive.namelist()):
            raise CheckpointError(f"{what} is a TorchScript program; {SAVE_STATE_DICT}")
        if len(pickled) != 1:
            raise CheckpointError(f"{what} has {len(pickled)} files NAME/data.pkl, expected 1")
        prefix = pickled[0].removesuffix("data.pkl")
        data = read_member(archive, pickled[0], what, _MOST_PICKLE_BYTES)
        byte_order: Literal["<", ">"] = "<"
        if f"{prefix}byteorder" in archive.namelist():
            written = read_member(archive, f"{prefix}byteorder", what, 10)
            if written not in (b"little", b"big"):
                raise CheckpointError(f"{what} has the byte order {written!r}, expected b'little' or b'big'")
            byte_order = "<" if written == b"little" else ">"
        try:
            return unpickle(_Reader(data, archive, prefix, byte_order), data, what)
        except CheckpointError as error:
            raise CheckpointError(f"{error}; {SAVE_STATE_DICT}") from error.__cause__


SAVE_STATE_DICT = "expected weights alone, as torch.save(model.state_dict(), …) writes, not a module or other objects"


class _Reader(PlainUnpickler):
    """Build arrays from the calls that PyTorch writes.

    Args:
        data: the pickle.
        archive, prefix: the zip, and the folder in it.
        byte_order: of the storages, as NumPy writes it: "<" or ">".
    """

    names = frozenset(
        {
            "collections.OrderedDict",
            "torch.Size",
            "torch._utils._rebuild_tensor_v2",
            "torch._utils._rebuild_parameter",
            *_STORAGES,
        }
    )
    purpose = "a file of weights"
    also_allowed = ("BINPERSID", "BINFLOAT")
    most_keys = 100_000  # with an optimizer's state, a tensor takes 5
    largest_key = 1_000_000  # an optimizer numbers its parameters
    error: ClassVar[type[MiniskError]] = CheckpointError

    def __init__(self, data: bytes, archive: zipfile.ZipFile, prefix: str, byte_order: Literal["<", ">"]) -> None:
        super().__init__(data)
        self.archive, self.prefix, self.byte_order = archive, prefix, byte_order
        self.storages: dict[str, Array] = {}
        self.room = unpacked_limit(str(archive.filename))  # bytes that storages may still have
        self.stored = 0  # bytes of all storages, bfloat16 as float32
        self.built = 0  # bytes of all arrays

    def persistent_load(self, pid: Any) -> Array:
        """Return a storage, 1-D, for ("storage", name of its type, key, device, number of elements)."""
        match pid:
            case (str("storage"), str(kind), str(key), str(), int(size)) if kind in _STORAGES and key.isdecimal():
                pass
            case _:
                raise CheckpointError("it refers to something other than a storage of numbers")
        if key not in self.storages:
            content = read_member(self.archive, f"{self.prefix}data/{key}", "it", self.room)
            self.room -= len(content)
            dtype = np.dtype(_STORAGES[kind]).newbyteorder(self.byte_order)
            if len(content) != size * dtype.itemsize:
                expected = f"{size:,} elements of {dtype.itemsize} bytes"
                raise CheckpointError(f"its storage {key[:20]} has {len(content):,} bytes, expected {expected}")
            values = np.frombuffer(content, dtype)
            if kind == "torch.BFloat16Storage":
                values = (values.astype(np.uint32) << 16).view(np.float32)
            self.storages[key] = values
            self.stored += values.nbytes
        return self.storages[key]

    def call(self, function: Any, arguments: Any) -> Any:
        """Return a dictionary, a shape or an array."""
        match function, arguments:
            case str("collections.OrderedDict"), ():
                return {}
            case str("torch.Size"), (tuple(sizes),):
                return sizes
            case str("torch._utils._rebuild_parameter"), (np.ndarray() as array, *_):
                return array
            case str("torch._utils._rebuild_tensor_v2"), (np.ndarray() as storage, offset, sizes, strides, *_):
                return self._view(storage, offset, sizes, strides)
        raise CheckpointError("it calls a function other than those that rebuild tensors")

    def fill(self, thing: Any, state: Any) -> Any:
        """Return a dictionary as it is: its state is the `_metadata` of a state dict."""
        if type(thing) is not dict:
            raise CheckpointError("it gives a state to something other than a dictionary")
        return thing

    def _view(self, storage: Array, offset: Any, sizes: Any, strides: Any) -> Array:
        """Return the elements that a tensor shows. Check that they lie in the storage, and their number."""
        form = (sizes, strides)
        if not all(isinstance(part, tuple) and len(part) <= _MOST_DIMENSIONS for part in form):
            raise CheckpointError(f"it has a tensor without sizes, or with more than {_MOST_DIMENSIONS} dimensions")
        numbers = (offset, *sizes, *strides)
        if len(sizes) != len(strides) or not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
            raise CheckpointError("it has a tensor whose offset, sizes or strides are not whole numbers of at least 0")
        if 0 in sizes:
            return np.zeros(sizes, storage.dtype.newbyteorder("="))
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        if last >= storage.size:
            raise CheckpointError(f"it has a tensor of sizes {sizes} that ends beyond its storage of {storage.size:,}")
        # A stride of 0 repeats elements: a few bytes could become a terabyte.
        self.built += math.prod(sizes) * storage.itemsize
        if self.built > 2 * self.stored + (1 << 20):
            raise CheckpointError(f"its tensors repeat the {self.stored:,} bytes of its storages more than twice")
        in_bytes = [stride * storage.itemsize for stride in strides]
        view = np.lib.stride_tricks.as_strided(storage[offset:], sizes, in_bytes, writeable=False)
        return view.astype(storage.dtype.newbyteorder("="), copy=False)
