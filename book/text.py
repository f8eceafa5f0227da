"""The text of a chapter: its blocks, run from top to bottom, with the printed output compared.

```python        runs; all blocks of a chapter share one namespace
```output        what the Python block above prints; … stands for any text
```cuda FILE     is written to FILE in the working folder of the chapter, before the blocks below it run
```read          a line "FILE NAME …": functions or classes of minisk that the reader should now read
```text          a formula or a drawing in characters
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LANGUAGES = ("python", "output", "cuda", "read", "text")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language, argument: the words after the opening fence.
        content: the text between the fences.
        line: the number of the first line of the content, in the chapter's file.
    """

    language: str
    argument: str
    content: str
    line: int


def blocks_of(text: str) -> list[Block]:
    """Return the fenced blocks of a Markdown text. Raises ValueError for an unknown language or a lone output."""
    found = []
    for match in re.finditer(r"^```(\w*)[ ]?(.*)\n((?:.*\n)*?)```$", text, re.MULTILINE):
        line = text.count("\n", 0, match.start()) + 2
        if match[1] not in LANGUAGES:
            raise ValueError(f"line {line - 1}: a block of {match[1]!r}; expected one of {', '.join(LANGUAGES)}")
        found.append(Block(match[1], match[2].strip(), match[3], line))
    for before, block in zip([None, *found], found, strict=False):
        if block.language == "output" and (before is None or before.language != "python"):
            raise ValueError(f"line {block.line - 1}: a block of output must follow the Python block that prints it")
    return found


def prose_of(text: str) -> str:
    """Return a Markdown text without its blocks, code in backticks, and targets of links."""
    without_blocks = re.sub(r"^```.*\n(?:.*\n)*?```$", "", text, flags=re.MULTILINE)
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`\n]+`", "", without_blocks))


@dataclass(frozen=True)
class Run:
    """A Python block that ran, the output block after it, if there is one, and what was printed."""

    block: Block
    output: Block | None
    printed: str

    @property
    def shown(self) -> str:
        """Return what the chapter shows as the output."""
        return "" if self.output is None else self.output.content

    @property
    def agrees(self) -> bool:
        """Return whether the printed text is the shown one, where … stands for any text."""
        pieces = [re.escape(piece) for piece in self.shown.rstrip().split("…")]
        return re.fullmatch(".*?".join(pieces), self.printed.rstrip(), re.DOTALL) is not None


def run_text(path: Path) -> Iterator[Run]:
    """Run the Python blocks of a chapter in a working folder of their own, and yield each with its output.

    Line numbers in tracebacks are those of the chapter's file.
    """
    blocks = blocks_of(path.read_text(encoding="utf-8"))
    names: dict[str, object] = {"__name__": "__chapter__"}
    with tempfile.TemporaryDirectory() as folder, working_in(folder):
        for block, after in zip(blocks, [*blocks[1:], None], strict=True):
            if block.language == "cuda" and block.argument:
                Path(block.argument).write_text(block.content, encoding="utf-8")
            if block.language != "python":
                continue
            code = compile("\n" * (block.line - 1) + block.content, str(path), "exec")
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(code, names)
            output = after if after is not None and after.language == "output" else None
            yield Run(block, output, printed.getvalue())


@contextlib.contextmanager
def working_in(folder: str | Path) -> Iterator[None]:
    """Change the working folder, as `contextlib.chdir` of Python 3.11 does."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def updated(path: Path) -> str:
    """Return the text of a chapter with each output that does not agree replaced by the printed one."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for run in reversed(list(run_text(path))):
        printed = f"{run.printed.rstrip()}\n" if run.printed.strip() else ""
        if run.agrees:
            continue
        if run.output is not None:
            start = run.output.line - 1
            end = start + run.output.content.count("\n")
            lines[start:end] = [printed]
        else:
            end = run.block.line + run.block.content.count("\n")  # index of the line below the closing fence
            lines[end:end] = [f"\n```output\n{printed}```\n"]
    return "".join(lines)
