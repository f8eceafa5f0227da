"""Guess a `check:` line for a kernel from its signature, for its author to correct."""

import re
from pathlib import Path

from ..runtime.signature import Parameter, Signature, read_source

_INTEGERS = {
    "int",
    "unsigned",
    "unsigned int",
    "long long",
    "size_t",
    "index_t",
    "int64_t",
    "int32_t",
    "uint32_t",
    "long",
}
_FLOATS = {"float", "double", "real", "wide", "half_t", "half", "__half"}


def suggested_line(name: str, signature: Signature, path: Path) -> str:
    """Return a `check:` line with a guess of grid, block and arguments.

    Every integer gets a size that no block divides, and every array as many elements as all sizes multiplied. A kernel
    that uses threadIdx.y gets a block of two dimensions. The author knows better.
    """
    integers = [p for p in signature.parameters if not p.is_array and p.type in _INTEGERS]
    size = 1000 if len(integers) <= 1 else (50 if len(integers) == 2 else 20)
    length = "*".join(p.name for p in integers) or str(size)
    words = [f"{p.name}={size}" for p in integers]
    words += [_number(p) for p in signature.parameters if not p.is_array and p not in integers]
    words += [f"{p.name}[{length}]" for p in signature.parameters if p.is_array]
    is_plane = re.search(r"threadIdx\s*\.\s*y", read_source(path)) is not None
    block = "(16, 16)" if is_plane else str(min(256, signature.most_threads))
    grid = "(4, 4)" if is_plane else "4"
    template = "" if signature.template is None else f"{name}<{_arguments(signature.template)}>"
    return f"// check: {template}<<<{grid}, {block}>>> {' '.join(words)}".rstrip()


def _number(parameter: Parameter) -> str:
    value = "1" if parameter.type not in _FLOATS else "0.5"
    return f"{parameter.name}={value}"


def _arguments(template: str) -> str:
    """Return example arguments for the parameters of a template."""
    firsts = [part.split()[0] if part.split() else "" for part in re.sub(r"=[^,]*", "", template).split(",")]
    return ", ".join({"typename": "float", "class": "float", "bool": "true"}.get(first, "128") for first in firsts)
