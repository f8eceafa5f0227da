"""Leave out the host code of a kernel file that uses CUDA's runtime: `main`, launchers with `<<<`, timers.

A C++ compiler does not know `cudaMalloc` and `<<<`. The kernels of such a file do not need them.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .declarations import (
    Statement,
    directives,
    opens_struct,
    statements,
    tokens_of,
    without_comments,
    without_directives,
)
from .signature import read_source

_RUNTIME = re.compile(r"<<<|\bcuda[A-Z]\w*")
_DEVICE = {"__global__", "__device__", "__constant__", "__managed__", "__shared__"}


class LeftOut(NamedTuple):
    """A declaration of the host that is not compiled. name: of a function, a struct or a variable; line: from 1."""

    name: str
    line: int


class _Declared(NamedTuple):
    name: str
    text: str
    start: int
    end: int
    is_struct: bool


def device_text(path: Path) -> tuple[str, list[LeftOut]]:
    """Return the text of a kernel file with host code blanked that uses CUDA's runtime, and what that was.

    Lines keep their numbers. Preprocessor lines stay.
    """
    return _device_text(read_source(path))


@functools.lru_cache(maxsize=64)
def _device_text(text: str) -> tuple[str, list[LeftOut]]:
    commented = without_comments(text)
    if not _RUNTIME.search(commented):
        return text, []
    code = without_directives(commented)
    removed = _using_the_runtime(
        [_declared(each, code) for each in statements(tokens_of(code)) if _is_of_the_host(each)]
    )
    kept = directives(commented)
    for part in removed:
        blank = re.sub(r"[^\n]", " ", text[part.start : part.end])
        for start, end in kept:
            if part.start <= start and end <= part.end:
                blank = blank[: start - part.start] + text[start:end] + blank[end - part.start :]
        text = text[: part.start] + blank + text[part.end :]
    return text, [LeftOut(part.name, code.count("\n", 0, part.start) + 1) for part in removed]


def _is_of_the_host(statement: Statement) -> bool:
    words = {token.text for token in statement.words}
    if statement.body and opens_struct(statement.words):
        words |= {token.text for token in statement.body}
    return not words & _DEVICE


def _declared(statement: Statement, code: str) -> _Declared:
    last = max([statement.words[-1], *statement.body[-1:]], key=lambda token: token.position)
    start, end = statement.words[0].position, last.position + len(last.text)
    is_struct = bool(statement.body) and opens_struct(statement.words)
    return _Declared(_name(statement, is_struct), code[start:end], start, end, is_struct)


def _name(statement: Statement, is_struct: bool) -> str:
    """Return the word before the parameters of a function, or before the body, the value or the end."""
    stops = ("{", ":", ";") if is_struct else ("(", "=", "[", ";")
    words = [token.text for token in statement.words]
    if is_struct:
        words = [token.text for token in statement.words if token.position < statement.body[0].position]
    end = next((i for i, word in enumerate(words) if word in stops), len(words))
    return next((word for word in reversed(words[:end]) if word.isidentifier()), "")


def _using_the_runtime(declared: Sequence[_Declared]) -> list[_Declared]:
    """Return the declarations that use CUDA's runtime, and the functions that call one of them."""
    removed = [part for part in declared if _RUNTIME.search(part.text)]
    while True:
        names = "|".join(re.escape(part.name) + ("\\b" if part.is_struct else r"\s*\(") for part in removed)
        uses = re.compile(rf"(?<![\w.>:])(?:{names})" if names else "(?!)")
        further = [part for part in declared if part not in removed and not part.is_struct and uses.search(part.text)]
        if not further:
            return sorted(removed, key=lambda part: part.start)
        removed += further
