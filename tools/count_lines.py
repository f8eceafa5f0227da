"""Count the lines of code and hold them to the project's budgets: `python tools/count_lines.py`.

A line of code is one with a token that is neither comment nor docstring; the blank lines and the prose between are
free, so that nobody saves on explanations. Exit status 1 if a budget is exceeded.
"""

from __future__ import annotations

import io
import sys
import tokenize
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "minisk"

SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}


def python_lines(source: str) -> int:
    """Count the lines of Python code: comments, docstrings and blank lines don't count."""
    lines: set[int] = set()
    previous = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        starts_statement = previous in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)
        is_docstring = token.type == tokenize.STRING and starts_statement
        if token.type not in SILENT and token.type != tokenize.ENDMARKER and not is_docstring:
            lines.update(range(token.start[0], token.end[0] + 1))
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            previous = token.type
    return len(lines)


def c_lines(source: str) -> int:
    """Count the lines of CUDA or C++ code: lines that are blank or only a // comment don't count."""
    stripped = (line.strip() for line in source.splitlines())
    return sum(1 for line in stripped if line and not line.startswith("//"))


def _python(paths: Iterable[Path]) -> tuple[int, int]:
    sources = [path.read_text(encoding="utf-8") for path in paths]
    return sum(python_lines(source) for source in sources), sum(len(source.splitlines()) for source in sources)


def _native(paths: Iterable[Path]) -> tuple[int, int]:
    sources = [path.read_text(encoding="utf-8") for path in paths]
    return sum(c_lines(source) for source in sources), sum(len(source.splitlines()) for source in sources)


def main() -> int:
    """Print each budget and what it holds. Returns 1 if one is exceeded."""
    core = [PACKAGE / f"{name}.py" for name in ("device", "tensor", "function", "autograd", "optim")]
    core += [*(PACKAGE / "ops").rglob("*.py"), *(PACKAGE / "nn").rglob("*.py")]
    host = [path for pattern in ("*.h", "*.hpp", "*.cpp") for path in PACKAGE.rglob(pattern)]
    budgets = [
        ("reader's core (device, tensor, function, autograd, ops, nn, optim)", 2500, _python(core)),
        ("all Python in minisk/", 6000, _python(PACKAGE.rglob("*.py"))),
        ("CUDA kernels (.cu, .cuh)", 1200, _native([*PACKAGE.rglob("*.cu"), *PACKAGE.rglob("*.cuh")])),
        ("host-side C++", 1000, _native(host)),
    ]
    print(f"{'budget':<70} {'code':>6} {'of':>6}   with prose")
    for name, limit, (code, physical) in budgets:
        print(f"{name:<70} {code:>6} {limit:>6} {physical:>12}{'   OVER BUDGET' if code > limit else ''}")
    return int(any(code > limit for _, limit, (code, _) in budgets))


if __name__ == "__main__":
    sys.exit(main())
