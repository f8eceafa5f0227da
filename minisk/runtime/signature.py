"""Kernels as declared in their `.cu`: where the file is, and which arguments each kernel takes.

The C++ signature is the only declaration of a kernel. A launch types every scalar and checks every array by it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import KernelError

PACKAGE = Path(__file__).resolve().parent.parent / "cuda"  # the folder of minisk's own kernel files

_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+(?P<any_block>ANY_BLOCK\s+)?void\s+(?:__launch_bounds__\((?P<most>\w+)\)\s*)?'
    r"(?P<name>\w+)\s*\((?P<parameters>[^)]*)\)"
)
_PARAMETER = re.compile(
    r"(?P<const>const\s+)?(?P<type>\w[\w ]*?)\s*(?P<pointer>\*?)\s*(?:__restrict__\s+)?(?P<name>\w+)"
)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_MOST_THREADS = 1024  # CUDA's limit for a block

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
# By NumPy's letter for the stored dtype, the C++ types that `real` (stored) and `wide` (computed in) stand for.
REAL = {"e": "half_t", "f": "float", "d": "double"}
WIDE = {"e": "float", "f": "float", "d": "double"}


class Parameter(NamedTuple):
    """One parameter of a kernel: its name, its C++ type without const and *, whether it is an array, and const."""

    name: str
    type: str
    is_array: bool
    is_const: bool

    def dtype(self, types: Mapping[str, str]) -> np.dtype[Any]:
        """Return its NumPy dtype. types: what `real`, `wide` and `index_t` stand for, from `type_names`."""
        return np.dtype(_DTYPES[types.get(self.type, self.type)])


class Signature(NamedTuple):
    """A kernel's declaration.

    any_block: marked ANY_BLOCK, so it is right for every block size; most_threads: the largest block it declares;
    line: the line of the file on which it begins, from 1.
    """

    parameters: tuple[Parameter, ...]
    any_block: bool
    most_threads: int
    line: int


def type_names(real: str, is_huge: bool = False) -> dict[str, str]:
    """Return the C++ types that `real`, `wide` and `index_t` stand for.

    real: NumPy's letter for the stored dtype, "e", "f" or "d"; is_huge: some array has 2^31 elements or more.
    """
    return {"real": REAL[real], "wide": WIDE[real], "index_t": "long long" if is_huge else "int"}


def locate(file: str | Path) -> Path:
    """Return the path of a kernel file: minisk's own by its bare name, any other by its path."""
    path = Path(file)
    own = PACKAGE / path
    path = own if path.name == str(file) and own.is_file() else path.resolve()
    if not path.is_file():
        raise KernelError(f"kernel file {str(file)!r} is neither in {PACKAGE} nor a path that exists")
    if re.search(r'["\\\n]', str(path)):
        raise KernelError(f"kernel file {str(path)!r}: C++ cannot include a path with a quote, \\ or newline")
    return path


def read_source(path: Path) -> str:
    """Return the text of a kernel file; what is not UTF-8, as in an old comment, becomes U+FFFD."""
    return path.read_text(encoding="utf-8", errors="replace")


def signatures(path: Path) -> dict[str, Signature]:
    """Return the signature of every kernel in a file. Raises KernelError for a parameter type that cannot be passed."""
    code = _COMMENT.sub(_blanked, read_source(path))
    constants = dict(re.findall(r"#define\s+(\w+)\s+(\d+)", code))
    found = {}
    for match in _KERNEL.finditer(code):
        parameters = tuple(_parameter(path, match["name"], text) for text in match["parameters"].split(","))
        declared = match["most"]  # a number, a macro's name, or None
        most_threads = _MOST_THREADS if declared is None else int(constants.get(declared) or declared)
        line = code.count("\n", 0, match.start()) + 1
        found[match["name"]] = Signature(parameters, match["any_block"] is not None, most_threads, line)
    return found


def _blanked(comment: re.Match[str]) -> str:
    """Return the comment with all but its line ends replaced by spaces, so that lines keep their numbers."""
    return re.sub(r"[^\n]", " ", comment[0])


def _parameter(path: Path, kernel: str, text: str) -> Parameter:
    match = _PARAMETER.fullmatch(" ".join(text.split()))
    if match is None or match["type"] not in {*_DTYPES, "real", "wide", "index_t"}:
        expected = ", ".join(["real", "wide", "index_t", *_DTYPES])
        raise KernelError(f"{path.name}: {kernel} takes {text.strip()!r}; an argument's type is one of {expected}")
    return Parameter(match["name"], match["type"], bool(match["pointer"]), match["const"] is not None)
