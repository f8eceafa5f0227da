"""Guess a `check:` line for a kernel from its signature, for its author to correct."""

import re
from pathlib import Path

from ..runtime.signature import FileKernels, Parameter, Signature, example_arguments, kernels_in, read_source

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
_VECTOR = re.compile(r"u?(?:char|short|int|long|longlong|float|double|dim)(?P<count>[1-4])")


def suggested_line(name: str, signature: Signature, path: Path) -> str:
    """Return a `check:` line with a guess of grid, block and arguments.

    Every integer gets a size that no block divides, also those in structs. Every array gets as many elements as all
    sizes multiplied. A kernel that uses threadIdx.y gets a block of two dimensions. The author knows better.
    """
    scalars = [p for p in signature.parameters if not p.is_array]
    kinds = {p.name: _kinds(p, kernels_in(path)) for p in scalars}
    sizes = sum(listed.count("size") for listed in kinds.values())
    size = {0: 1000, 1: 1000, 2: 50, 3: 20}.get(sizes) or max(2, round(8000 ** (1 / sizes)))
    names = [p.name for p in scalars if kinds[p.name] == ["size"]]
    length = "*".join([*names, *[str(size)] * (sizes - len(names))]) or str(size)
    words = [f"{p.name}={','.join(_number(kind, size) for kind in kinds[p.name])}" for p in scalars]
    words.sort(key=lambda word: word.partition("=")[0] not in names)
    words += [f"{p.name}[{length}]" for p in signature.parameters if p.is_array]
    is_plane = re.search(r"threadIdx\s*\.\s*y", read_source(path)) is not None
    threads = signature.most_threads if signature.has_bounds else 256
    block = f"(16, {max(1, threads // 16)})" if is_plane and threads >= 16 else str(threads)
    grid = "(4, 4)" if is_plane else "4"
    template = "" if signature.template is None else f"{name}<{example_arguments(signature.template)}>"
    return f"// check: {template}<<<{grid}, {block}>>> {' '.join(words)}".rstrip()


def _kinds(parameter: Parameter, found: FileKernels) -> list[str]:
    """Return what each number of an argument is: "size", "float", or "one"; a vector and a struct have several."""
    vector = _VECTOR.fullmatch(parameter.type)
    if vector:
        return ["float" if parameter.type.startswith(("float", "double")) else "size"] * int(vector["count"])
    for number in found.structs_of(parameter.type):
        fields = found.structs[number].fields
        inner = [
            kind
            for field in fields
            for kind in _kinds(Parameter(field.name, field.type, False, False), found) * max(1, field.length)
            for kind in (["null"] if field.is_pointer else [kind])
        ]
        return inner or ["one"]
    return ["size" if parameter.type in _INTEGERS else "float" if parameter.type in _FLOATS else "one"]


def _number(kind: str, size: int) -> str:
    return {"size": str(size), "float": "0.5", "null": "0", "one": "1"}[kind]
