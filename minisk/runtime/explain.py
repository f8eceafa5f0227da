"""Explain why the compiler refuses a kernel file, if it is for a word of CUDA that minisk does not have."""

import functools
import re
from pathlib import Path
from typing import NamedTuple

from .declarations import without_comments
from .preprocess import HEADERS
from .signature import kernels_in, read_source

_FAMILY = re.compile(r"^// words: (?P<words>.*)\n// (?P<sentence>.*)$", re.MULTILINE)
_ERROR = re.compile(r"^(?P<file>[^\n:]+):(?P<line>\d+):\d+: (?:fatal )?error: (?P<text>[^\n]*)", re.MULTILINE)
# What g++ and clang++ write about a word that they do not know; the last group that matches holds the word.
_UNKNOWN = re.compile(
    r"^(?P<missing>[^\s:']+): No such file|^'(?P<absent>[^']+)' file not found"
    r"|['‘](?P<name>\w+)['’] (?:was not declared|has not been declared|does not name a type|is not a member)"
    r"|no arguments to ['‘](?P<dependent>\w+)['’]|use of deleted function ['‘].*?(?P<deleted>\w+::\w+)\("
    r"|use of undeclared identifier '(?P<undeclared>\w+)'|unknown type name '(?P<type>\w+)'"
)


class Family(NamedTuple):
    """Words that are not supported for one reason, and the sentence that says it."""

    words: tuple[str, ...]
    sentence: str


@functools.cache
def unsupported() -> tuple[Family, ...]:
    """Return the families of include/vocabulary/unsupported.h."""
    text = (HEADERS / "vocabulary" / "unsupported.h").read_text(encoding="utf-8")
    return tuple(Family(tuple(found["words"].split()), found["sentence"]) for found in _FAMILY.finditer(text))


def sentence_about(word: str) -> str | None:
    """Return why a word or header of CUDA is not supported, or None: it is no such word."""
    for family in unsupported():
        for known in family.words:
            if re.fullmatch(re.escape(known).replace(r"\*", ".*"), word):
                return family.sentence
    return None


def explain(source: Path, error: str) -> str | None:
    """Return one sentence that names the word for which the compiler refuses a file, or None if it is none of CUDA's.

    Args:
        source: the kernel file.
        error: the compiler's or the assembler's message.
    """
    code = without_comments(read_source(source))
    for found in _ERROR.finditer(error):
        unknown = _UNKNOWN.search(found["text"])
        word = next(filter(None, unknown.groups()), "") if unknown else _launch_or_asm(code, int(found["line"]))
        reason = sentence_about(word)
        if reason:
            advice = "" if "MINISK_ON_CPU" in reason else _how_to_go_on(source)
            return f"{Path(found['file']).name}:{found['line']}: `{word}`: {reason}{advice}"
    if "asm" in error.lower() or "Assembler messages" in error:
        assembly = re.search(r"\b(asm|__asm__)\b", code)
        if assembly:
            line = code.count("\n", 0, assembly.start()) + 1
            return f"{source.name}:{line}: `{assembly[1]}`: {sentence_about(assembly[1])}{_how_to_go_on(source)}"
    return None


def _how_to_go_on(source: Path) -> str:
    """Return how the other kernels of a file can be built, or "" if it has one kernel."""
    one = len(kernels_in(source).kernels) < 2
    return "" if one else ". Its other kernels are built if `#ifndef MINISK_ON_CPU` … `#endif` leaves that code out"


def _launch_or_asm(code: str, line: int) -> str:
    """Return "<<<" or "asm" if a line of the text has it, or ""."""
    lines = code.split("\n")
    text = lines[line - 1] if line <= len(lines) else ""
    return next((word for word in ("<<<", "asm") if word in text), "")
