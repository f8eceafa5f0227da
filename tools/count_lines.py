"""Count the lines of code and hold them to the project's budgets: `python tools/count_lines.py`.

A line of code is one with a token that is neither comment nor docstring; the blank lines and the prose between are
free, so that nobody saves on explanations. Exit status 1 if a budget is exceeded.
"""

from __future__ import annotations

import ast
import io
import sys
import textwrap
import tokenize
from pathlib import Path
from typing import NamedTuple

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


class Budget(NamedTuple):
    """A budget: its name, the patterns of its files under minisk/, and how many lines of code they may hold."""

    name: str
    patterns: tuple[str, ...]
    limit: int


BUDGETS = (
    Budget("core", ("backend/*.py", "autograd/*.py", "ops/*.py", "nn/*.py", "optim/*.py"), 2500),
    Budget("kernels + cuda, Python", ("kernels/**/*.py", "cuda/*.py"), 1150),
    Budget("cuda kernels (.cu, .cuh)", ("cuda/*.cu", "cuda/*.cuh"), 1400),
    Budget("cuda/steps", ("cuda/steps/*",), 600),
    Budget("runtime + sanitizer, Python", ("runtime/*.py", "sanitizer/*.py"), 750),
    Budget("runtime/include, C++", ("runtime/include/*.h",), 1500),
    Budget("gradient_check", ("gradient_check/*.py",), 900),
    Budget("models", ("models/**/*.py",), 1600),
    Budget("training + evaluation", ("training/*.py", "evaluation/*.py"), 1200),
    Budget("analysis", ("analysis/*.py",), 700),
    Budget("cli", ("cli/*.py",), 700),
    Budget("data + serialization", ("data/*.py", "serialization.py"), 1100),
)
FILE_LIMIT, FUNCTION_LIMIT = 300, 40


def code_lines(path: Path) -> int:
    source = path.read_text(encoding="utf-8")
    return python_lines(source) if path.suffix == ".py" else c_lines(source)


def long_functions(path: Path) -> list[str]:
    """Name each Python function of more than FUNCTION_LIMIT lines of code."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            text = textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno]))
            if (count := python_lines(text)) > FUNCTION_LIMIT:
                found.append(
                    f"{path.relative_to(ROOT)}: {node.name} has {count} lines of code, at most {FUNCTION_LIMIT}"
                )
    return found


def main() -> int:
    """Print each budget and its use, and every file and function that is too long. Returns 1 if there is any."""
    problems = []
    print(f"{'budget':<30} {'code':>6} {'of':>6}")
    for budget in BUDGETS:
        files = sorted(path for pattern in budget.patterns for path in PACKAGE.glob(pattern) if path.is_file())
        code = sum(map(code_lines, files))
        print(f"{budget.name:<30} {code:>6} {budget.limit:>6}")
        if code > budget.limit:
            problems.append(f"{budget.name}: {code} lines of code, budget {budget.limit}")
    counted = [p for suffix in ("py", "cu", "cuh", "h") for p in PACKAGE.rglob(f"*.{suffix}")]
    for path in [*counted, ROOT / "train_cifar.py"]:
        if (count := code_lines(path)) > FILE_LIMIT:
            problems.append(f"{path.relative_to(ROOT)}: {count} lines of code, at most {FILE_LIMIT}")
        if path.suffix == ".py":
            problems += long_functions(path)
    print("\n".join(problems))
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
