"""The variables of a built library, by its symbol table: `__shared__` arrays, `__device__` and `__constant__` ones."""

import functools
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

_EXTERN_SHARED = Path(__file__).resolve().parent / "include" / "extern_shared.cpp"
_SYMBOL = re.compile(
    r"\s*\d+: (?P<offset>[0-9a-f]+)\s+(?P<bytes>\w+) (?P<type>TLS|OBJECT) +\w+ +\w+ +(?P<section>\w+) (?P<name>.*)"
)
# Of the executor, the compiler and the C library.
_NOT_THE_KERNELS = {
    "TLS": re.compile(r"minisk|guard variable|.* for "),
    "OBJECT": re.compile(r"minisk|(threadIdx|blockIdx|blockDim|gridDim)$|std::|_|guard variable|[^()]*\.|.* for "),
}


class Variable(NamedTuple):
    """A variable of a kernel file.

    name: as written; function: the one that declares it, or ""; offset: in the library, or if it is shared in its
    thread-local memory; bytes: its size.
    """

    name: str
    function: str
    is_shared: bool
    offset: int
    bytes: int


@functools.cache
def variables(library: Path) -> list[Variable]:
    """Return the variables of the kernel file that a library was built from, one for each address."""
    found = {}
    for symbol in _symbols(library, "-C"):
        size, name = int(symbol["bytes"], 0), symbol["name"]
        if size == 0 or symbol["section"] == "UND" or _NOT_THE_KERNELS[symbol["type"]].match(name):
            continue
        function, _, word = name.rpartition("::")
        is_shared, offset = symbol["type"] == "TLS", int(symbol["offset"], 16)
        found[is_shared, offset] = Variable(word, function, is_shared, offset, size)
    return list(found.values())


def extern_shared_arguments(compiled: Path) -> list[str]:
    """Return the linker's arguments that define the `extern __shared__` arrays of an object file; [] if it has none.

    All of them are the dynamic shared memory, so all get one address. Without readelf there can be none.
    """
    if shutil.which("readelf") is None:
        return []
    names = {symbol["name"] for symbol in _symbols(compiled) if (symbol["type"], symbol["section"]) == ("TLS", "UND")}
    if not names:
        return []
    return [str(_EXTERN_SHARED), *(f"-Wl,--defsym={name}=minisk_extern_shared_bytes" for name in sorted(names))]


def _symbols(path: Path, *options: str) -> list[re.Match[str]]:
    """Return the symbols of a file. One that is no object file has none: the linker or the loader refuses it."""
    command = ["readelf", "--symbols", "--wide", *options, str(path)]
    found = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    lines = found.stdout.splitlines()
    return [match for match in map(_SYMBOL.fullmatch, lines) if match]
