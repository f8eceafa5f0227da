"""Run the preprocessor over a kernel file, to see which kernels `#if`, macros and headers leave and make."""

import bisect
import functools
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

from ..errors import KernelError
from .compiler import run_compiler

PACKAGE = Path(__file__).resolve().parent.parent / "cuda"  # the folder of minisk's own kernel files
HEADERS = Path(__file__).resolve().parent / "include"
INCLUDED = [f"-I{folder}" for folder in (PACKAGE, HEADERS, HEADERS / "nvidia")]

_MARKER = re.compile(r'#(?:line)? (\d+) "([^"]*)"(.*)')
_DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(if|ifdef|ifndef|elif|else|endif|define|include)\b([^\n]*)", re.MULTILINE)


class Condition(NamedTuple):
    """An `#if` that decides on a part of the text. line: where it stands, from 1."""

    directive: str
    line: int


class Source(NamedTuple):
    """Text to scan, and where each of its lines stands: in which file, and on which line of it."""

    text: str
    places: list[tuple[Path, int]]

    def place(self, position: int) -> tuple[Path, int]:
        """Return the file and the line of a position in the text."""
        return self.places[self.text.count("\n", 0, position)]


def as_written(path: Path, code: str) -> Source:
    """Return a file's text as it stands."""
    return Source(code, [(path, line) for line in range(1, code.count("\n") + 2)])


def preprocessed(path: Path) -> Source | None:
    """Return the text that the preprocessor makes of a file, without the compiler's headers and those of include/.

    None if there is no compiler, or if it refuses the text; a build then gives the reason.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "unit.ii"
        # MINISK_SCAN keeps `__global__` and `__launch_bounds__` in the text.
        options = ["-x", "c++", "-std=c++17", "-w", "-DMINISK_FIBERS", "-DMINISK_SCAN", "-DANY_BLOCK=ANY_BLOCK"]
        files = ["-include", "cuda_on_cpu.h", str(path), "-o", str(output)]
        try:
            if run_compiler(["-E", *options, *INCLUDED, *files], folder):
                return None
        except KernelError:
            return None
        return _without_system_headers(output.read_text(encoding="utf-8", errors="replace"))


def _without_system_headers(text: str) -> Source:
    kept: list[str] = []
    places: list[tuple[Path, int]] = []
    # Flags: 1 where a file begins, 3 in a header of the system. A line with one of its macros has flag 3, too.
    of_the_system: set[str] = set()
    file, line, is_kept = Path(), 0, False
    for content in text.split("\n"):
        marker = _MARKER.match(content) if content.startswith("#") else None
        if marker is not None:
            file, line = Path(marker[2]), int(marker[1])
            of_the_system.update([marker[2]] if {"1", "3"} <= set(marker[3].split()) else [])
            is_kept = marker[2] not in of_the_system and HEADERS not in file.parents and marker[2][0] != "<"
            continue
        if is_kept and not content.startswith("#"):
            kept.append(content)
            places.append((file, line))
        line += 1
    return Source("\n".join([*kept, ""]), [*places, (file, line)])


def needs_preprocessor(code: str) -> bool:
    """Return whether a text may have kernels that only the preprocessor sees: under `#if`, by a macro, in a header."""
    if any(condition_at(code, found.start()) for found in re.finditer(r"\b__global__\b", code)):
        return True
    for found in _DIRECTIVE.finditer(code):
        header = re.match(r'\s*"([^"]+)"', found[2]) if found[1] == "include" else None
        if header is not None and not (PACKAGE / header[1]).is_file():
            return True
        if found[1] == "define" and "__global__" in _whole_line(code, found.start()):
            return True
    return False


def _whole_line(code: str, start: int) -> str:
    """Return the line at `start` with those that it is continued on."""
    end = code.find("\n", start)
    while end > 0 and code[end - 1] == "\\":
        end = code.find("\n", end + 1)
    return code[start : end if end >= 0 else len(code)]


def condition_at(code: str, position: int) -> Condition | None:
    """Return the innermost `#if`, `#elif` or `#else` around a position of a text, or None."""
    starts, conditions = _conditions(code)
    return conditions[bisect.bisect_left(starts, position)]


@functools.lru_cache(maxsize=8)
def _conditions(code: str) -> tuple[list[int], list[Condition | None]]:
    """Return where the directives of a text start, and the innermost condition before each and after the last."""
    starts: list[int] = []
    conditions: list[Condition | None] = [None]
    around: list[Condition] = []
    line, counted = 1, 0  # counted: up to where the lines of the text are counted
    for found in _DIRECTIVE.finditer(code):
        line += code.count("\n", counted, found.start())
        counted = found.start()
        if found[1] in ("elif", "else", "endif") and around:
            around.pop()
        if found[1] in ("if", "ifdef", "ifndef", "elif", "else"):
            around.append(Condition(" ".join(f"#{found[1]}{found[2]}".split()), line))
        starts.append(found.start())
        conditions.append(around[-1] if around else None)
    return starts, conditions
