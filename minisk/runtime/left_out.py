"""Leave out the host code of a kernel file and its headers that uses CUDA's runtime: `main`, launchers with `<<<`.

A C++ compiler does not know `cudaMalloc` and `<<<`. The kernels of such a file do not need them.
"""

import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .declarations import (
    Statement,
    Token,
    declared_name,
    directives,
    opens_struct,
    statements,
    tokens_of,
    without_alignment,
    without_comments,
    without_directives,
)
from .includes import included_files, with_renamed_includes
from .signature import read_source

_RUNTIME = re.compile(r"<<<|\bcuda[A-Z]\w*")
_MACRO = re.compile(r"[ \t]*#[ \t]*define[ \t]+(\w+)")
_DEVICE = {"__global__", "__device__", "__constant__", "__managed__", "__shared__"}


class LeftOut(NamedTuple):
    """A declaration of the host that is not compiled. name: of a function, a struct or a variable; line: from 1."""

    name: str
    line: int


class DeviceFile(NamedTuple):
    """The text of a file with host code that uses CUDA's runtime blanked, and what that was.

    Lines keep their numbers. name: by which the texts of other files include it.
    """

    name: str
    text: str
    left_out: list[LeftOut]


class _Declared(NamedTuple):
    path: Path
    name: str
    text: str
    start: int
    end: int
    is_struct: bool


def device_files(path: Path) -> dict[Path, DeviceFile]:
    """Return a kernel file and the headers that it includes by `"…"`, also indirectly, without host code.

    Host code that uses what is left out, in whichever of these files, is left out as well. Preprocessor lines stay. The
    headers are included by new names, "header1.h", which are those of their texts here.
    """
    return _device_files(tuple((each, read_source(each)) for each in [path, *included_files(path, [])]))


@functools.lru_cache(maxsize=64)
def _device_files(written: tuple[tuple[Path, str], ...]) -> dict[Path, DeviceFile]:
    names = {path: f"header{number}.h" for number, (path, _) in enumerate(written) if number > 0}
    renamed = [(path, with_renamed_includes(text, path.parent, names)) for path, text in written]
    commented = {path: without_comments(text) for path, text in renamed}
    if not any(_RUNTIME.search(code) for code in commented.values()):
        return {path: DeviceFile(names.get(path, path.name), text, []) for path, text in renamed}
    codes = {path: without_directives(code) for path, code in commented.items()}
    declared = [
        _declared(path, each, code)
        for path, code in codes.items()
        for statement in statements(tokens_of(code))
        for each in _of_the_host(statement)
    ]
    removed = _using_the_runtime(declared, [name for code in commented.values() for name in _macros(code)])
    files = {}
    for path, text in renamed:
        parts = [part for part in removed if part.path == path]
        left_out = [LeftOut(part.name, codes[path].count("\n", 0, part.start) + 1) for part in parts]
        files[path] = DeviceFile(
            names.get(path, path.name), _blanked(text, parts, directives(commented[path])), left_out
        )
    return files


def _blanked(text: str, parts: Sequence[_Declared], kept: Sequence[tuple[int, int]]) -> str:
    """Replace parts of a text by blanks. kept: where preprocessor lines begin and end."""
    for part in parts:
        blank = re.sub(r"[^\n]", " ", text[part.start : part.end])
        for start, end in kept:
            if part.start <= start and end <= part.end:
                blank = blank[: start - part.start] + text[start:end] + blank[end - part.start :]
        text = text[: part.start] + blank + text[part.end :]
    return text


def _macros(code: str) -> list[str]:
    """Return the macros of a text whose definition uses CUDA's runtime."""
    lines = [code[start:end] for start, end in directives(code)]
    return [found[1] for line in lines if _RUNTIME.search(line) and (found := _MACRO.match(line))]


def _of_the_host(statement: Statement) -> Iterator[Statement]:
    """Yield a declaration that has no word of the device, or the functions of a struct that have none.

    A field of a struct is never left out: the struct would have another size.
    """
    if not _DEVICE & {token.text for token in [*statement.words, *statement.body]}:
        yield statement
    elif statement.body and opens_struct(statement.words):
        for member in statements(statement.body[1:-1]):
            words = _without_label(member.words)
            if _is_function(words):
                yield from _of_the_host(Statement(member.scope, words, member.body))


def _is_function(member: Sequence[Token]) -> bool:
    texts = [token.text for token in without_alignment(member)]
    before_value = texts[: texts.index("=")] if "=" in texts and "operator" not in texts else texts
    return "(" in before_value and not opens_struct(member)


def _without_label(words: list[Token]) -> list[Token]:
    """Return the words of a member without a preceding `public:`."""
    texts = [token.text for token in words[:2]]
    return words[2:] if texts[:1] and texts[0] in ("public", "private", "protected") and texts[1:] == [":"] else words


def _declared(path: Path, statement: Statement, code: str) -> _Declared:
    last = max([statement.words[-1], *statement.body[-1:]], key=lambda token: token.position)
    start, end = statement.words[0].position, last.position + len(last.text)
    is_struct = bool(statement.body) and opens_struct(statement.words)
    return _Declared(path, _name(statement, is_struct), code[start:end], start, end, is_struct)


def _name(statement: Statement, is_struct: bool) -> str:
    """Return the word before the parameters of a function, or before the body, the value or the end."""
    stops = ("{", ":", ";") if is_struct else ("(", "=", "[", ";")
    words = [token.text for token in statement.words]
    if is_struct:
        words = [token.text for token in statement.words if token.position < statement.body[0].position]
    end = next((i for i, word in enumerate(words) if word in stops), len(words))
    if words[:end][-1:] == [">"]:
        return declared_name(words[:end])
    return next((word for word in reversed(words[:end]) if word.isidentifier()), "")


def _using_the_runtime(declared: Sequence[_Declared], macros: Sequence[str]) -> list[_Declared]:
    """Return the declarations that use CUDA's runtime or a macro that does, and those that use one of them.

    A struct may have a method with the name of a function that is left out, so only structs and macros decide on it.
    """
    runtime = "|".join([_RUNTIME.pattern, *(rf"\b{re.escape(name)}\b" for name in macros)])
    removed = [part for part in declared if re.search(runtime, part.text)]
    while True:
        types = "|".join(rf"{re.escape(part.name)}\b" for part in removed if part.is_struct)
        functions = "|".join(re.escape(part.name) for part in removed if not part.is_struct)
        a_type = rf"(?<![\w.>:])(?:{types})" if types else "(?!)"
        a_call = rf"(?<![\w.>:])(?:{functions})\s*(?:<[^;(){{}}]*>\s*)?\(" if functions else "(?!)"
        further = [
            part
            for part in declared
            if part not in removed
            and (re.search(a_type, part.text) or (not part.is_struct and re.search(a_call, part.text)))
        ]
        if not further:
            return sorted(removed, key=lambda part: part.start)
        removed += further
