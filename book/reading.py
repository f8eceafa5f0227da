"""How long a chapter takes to read, and the parts of minisk that it asks the reader to read."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from .chapters import ROOT, Chapter
from .text import blocks_of, prose_of

WORDS, PYTHON_LINES, CUDA_LINES = 200, 6, 4  # a minute
LONGEST = 60  # minutes


@dataclass(frozen=True)
class Excerpt:
    """Some lines of a file of minisk: file relative to the repository, first line, and the lines themselves."""

    file: str
    line: int
    lines: list[str]


def minutes(chapter: Chapter) -> float:
    """Return how long a chapter takes: its text, its code, the parts of minisk to read, and the solution to write."""
    blocks = blocks_of(chapter.text)
    words = len(prose_of(chapter.text).split())
    words += sum(len(block.content.split()) for block in blocks if block.language in ("text", "output"))
    python, cuda = 0, 0
    for block in blocks:
        python += _code_lines(block.content) if block.language == "python" else 0
        cuda += _code_lines(block.content) if block.language == "cuda" else 0
    sources = [(path.suffix, path.read_text(encoding="utf-8")) for path in chapter.folder.glob("solution.*")]
    for excerpt in excerpts(chapter):
        sources.append((Path(excerpt.file).suffix, "\n".join(excerpt.lines)))
    for suffix, source in sources:
        if suffix == ".py":
            python += _code_lines(source)
        else:
            cuda += _code_lines(source)
    return words / WORDS + python / PYTHON_LINES + cuda / CUDA_LINES


def _code_lines(source: str) -> int:
    return sum(1 for line in source.splitlines() if line.strip())


def excerpts(chapter: Chapter) -> list[Excerpt]:
    """Return the parts of minisk that the `read` blocks of a chapter name. Raises ValueError if one does not exist."""
    found = []
    for block in blocks_of(chapter.text):
        if block.language == "read":
            for line in block.content.splitlines():
                file, *names = line.split()
                found += [excerpt(file, name) for name in names]
    return found


def excerpt(file: str, name: str) -> Excerpt:
    """Return the definition of a function, class or kernel. A method is named `Class.method`. Raises ValueError."""
    source = (ROOT / file).read_text(encoding="utf-8")
    start, end = _python_span(source, name) if file.endswith(".py") else _c_span(source, name)
    if start == 0:
        raise ValueError(f"{file} does not define {name}")
    return Excerpt(file, start, source.splitlines()[start - 1 : end])


def _python_span(source: str, name: str) -> tuple[int, int]:
    """Return the first and the last line of a definition; (0, 0) if there is none."""
    body: list[ast.stmt] = ast.parse(source).body
    start, end = 0, 0
    for part in name.split("."):
        named = [node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == part]
        if not named:
            return 0, 0
        body, start, end = named[0].body, named[0].lineno, named[0].end_lineno or 0
        start = min([start, *[decorator.lineno for decorator in named[0].decorator_list]])
    return start, end


def _c_span(source: str, name: str) -> tuple[int, int]:
    """Return the first and the last line of a function that begins and ends at the left margin; (0, 0) if none."""
    pattern = rf"^(?:template[^\n]*\n)?[^\s/#][^\n;]*\b{re.escape(name)}\([^;]*?\{{\n.*?^\}}"
    match = re.search(pattern, source, re.MULTILINE | re.DOTALL)
    if match is None:
        return 0, 0
    return source.count("\n", 0, match.start()) + 1, source.count("\n", 0, match.end()) + 1
