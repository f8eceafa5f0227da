"""Read a .npz of `numpy.savez`: a zip of .npy files. Arrays of objects, which NumPy would unpickle, are refused."""

import io
import math
from pathlib import Path

import numpy as np

from ..backend import Array
from ..errors import CheckpointError
from .zips import opened_zip, read_member, unpacked_limit


def read_npz(path: str | Path) -> dict[str, Array]:
    """Return the arrays of a .npz by name, without the suffix .npy.

    Raises:
        CheckpointError: the file is damaged, unpacks to more than 20 times its size, or holds something else than
            numbers.
    """
    what = f"weights file {path}"
    arrays: dict[str, Array] = {}
    with opened_zip(path, what) as archive:
        room = unpacked_limit(path)
        for name in archive.namelist():
            content = read_member(archive, name, what, room)
            room -= len(content)
            arrays[name.removesuffix(".npy")] = _array(content, f"{what}: {name[:80]!r}")
    return arrays


def _array(content: bytes, what: str) -> Array:
    """Return the array of a .npy file. Its size is compared with the header before NumPy makes it."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version}, expected (1, 0) or (2, 0)")
        reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = reader(file)
        if dtype.kind not in "fiub":
            raise ValueError(f"dtype {str(dtype)[:80]}, expected numbers")
        size = len(file.read())
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size:
            raise ValueError(f"{size:,} bytes for the shape {shape[:9]} of {dtype}")
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # NumPy's parser raises what ast and tokenize raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{what} is refused or damaged: {reason}") from error
