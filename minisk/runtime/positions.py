"""Threads, blocks and types as findings name them: "thread 3", "block (3, 2)", "float4"."""

import re
from collections.abc import Sequence

_POSITION = re.compile(r"\b(thread|block) \((\d+),(\d+),(\d+)\)")

_STRUCT = re.compile(r"(?:const )?struct (\w+)")


def without_trailing(value: int, three: Sequence[int]) -> str:
    """Format x, y, z without components at the end that equal value: (3, 0, 0) is "3", (3, 2, 0) is "(3, 2)"."""
    kept = [int(size) for size in three]
    while len(kept) > 1 and kept[-1] == value:
        kept.pop()
    return str(kept[0]) if len(kept) == 1 else str(tuple(kept))


def with_short_positions(text: str) -> str:
    """Return a sentence of the executor, which writes "thread (3,0,0)", with positions in the short form."""
    return _POSITION.sub(lambda found: f"{found[1]} {without_trailing(0, [int(n) for n in found.groups()[1:]])}", text)


def with_cuda_types(text: str) -> str:
    """Return a sentence of the compiler's instrumentation with the names of types as CUDA writes them."""
    return _STRUCT.sub(lambda found: "a vector type" if "minisk" in found[1] else found[1], text)
