"""Kernels as written in their `.cu`: where the file is, and what arguments each one takes.

A kernel's C++ signature is the only declaration there is: launching types every scalar and checks every array by it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import KernelError

PACKAGE = Path(__file__).resolve().parent.parent / "cuda"  # where the kernel files are

_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+(?P<any_block>ANY_BLOCK\s+)?void\s+(?:__launch_bounds__\((?P<most>\w+)\)\s*)?'
    r"(?P<name>\w+)\s*\((?P<parameters>[^)]*)\)"
)
_PARAMETER = re.compile(
    r"(?P<const>const\s+)?(?P<type>\w[\w ]*?)\s*(?P<pointer>\*?)\s*(?:__restrict__\s+)?(?P<name>\w+)"
)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)

_DTYPES = {
    "float": "float32",
    "double": "float64",
    "half_t": "float16",
    "bool": "bool",
    "unsigned char": "uint8",
    "int": "int32",
    "unsigned": "uint32",
    "unsigned int": "uint32",
    "long long": "int64",
}
# What the C++ types `real` and `wide` are, by NumPy's letter for the stored dtype.
REAL = {"e": "half_t", "f": "float", "d": "double"}
WIDE = {"e": "float", "f": "float", "d": "double"}


class Parameter(NamedTuple):
    """One argument: its name, C++ type without const and *, and whether it is an array, and one only read."""

    name: str
    type: str
    is_array: bool
    is_const: bool

    def dtype(self, types: Mapping[str, str]) -> np.dtype[Any]:
        """Return the dtype it takes when `real`, `wide` and `index_t` are these C++ types."""
        return np.dtype(_DTYPES[types.get(self.type, self.type)])


class Signature(NamedTuple):
    """What a kernel takes, whether it may run with one thread a block, and the most threads it declares (or 1,024)."""

    parameters: tuple[Parameter, ...]
    any_block: bool
    most_threads: int


def locate(file: str | Path) -> Path:
    """Return the path of a kernel file: the package's own by its bare name, any other by its path."""
    path = Path(file)
    own = PACKAGE / path
    path = own if path.name == str(file) and own.is_file() else path.resolve()
    if not path.is_file():
        raise KernelError(f"kernel file {str(file)!r} is neither in {PACKAGE} nor a path that exists")
    return path


def signatures(path: Path) -> dict[str, Signature]:
    """Read every kernel's signature in a file. Raises KernelError for a type that no argument can have."""
    text = path.read_text(encoding="utf-8")
    code = _COMMENT.sub("", text)
    constants = dict(re.findall(r"#define\s+(\w+)\s+(\d+)", code))
    found = {}
    for match in _KERNEL.finditer(code):
        parameters = tuple(_parameter(path, match["name"], text) for text in match["parameters"].split(","))
        most = constants.get(match["most"], match["most"]) or "1024"
        found[match["name"]] = Signature(parameters, match["any_block"] is not None, int(most))
    return found


def _parameter(path: Path, kernel: str, text: str) -> Parameter:
    match = _PARAMETER.fullmatch(" ".join(text.split()))
    if match is None or match["type"] not in {*_DTYPES, "real", "wide", "index_t"}:
        expected = ", ".join(["real", "wide", "index_t", *_DTYPES])
        raise KernelError(f"{path.name}: {kernel} takes {text.strip()!r}; an argument's type is one of {expected}")
    return Parameter(match["name"], match["type"], bool(match["pointer"]), match["const"] is not None)
