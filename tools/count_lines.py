"""Count the lines of code of each package and compare them with its budget: `python tools/count_lines.py`.

A line of code has at least one token that is neither comment nor docstring. Blank lines and prose are free, so that
budgets do not cut explanations. The exit status is 1 if a package, a file or a function is over its budget.

To raise a budget, change its number here, and give the reason in docs/decisions in the same commit.
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

SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}


def python_lines(source: str) -> int:
    """Count the lines of Python code; comments, docstrings and blank lines do not count."""
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
    """Count the lines of CUDA or C++ code; blank lines and lines with only a // comment do not count."""
    stripped = (line.strip() for line in source.splitlines())
    return sum(1 for line in stripped if line and not line.startswith("//"))


class Budget(NamedTuple):
    """The lines of code that some files under minisk/, given by patterns, may hold together."""

    name: str
    patterns: tuple[str, ...]
    limit: int

    def files(self, root: Path) -> list[Path]:
        return sorted(path for pattern in self.patterns for path in (root / "minisk").glob(pattern) if path.is_file())


BUDGETS = (
    Budget("core", ("backend/*.py", "autograd/*.py", "ops/*.py", "nn/*.py", "optim/*.py"), 3300),
    Budget("kernels + cuda, Python", ("kernels/**/*.py", "cuda/**/*.py"), 1_920),
    Budget("cuda kernels (.cu, .cuh)", ("cuda/*.cu", "cuda/*.cuh"), 1400),
    Budget("cuda/steps", ("cuda/steps/*.cu", "cuda/steps/*.cuh"), 600),
    Budget("runtime + sanitizer, Python", ("runtime/*.py", "sanitizer/*.py"), 3310),
    Budget("runtime/include, C++", ("runtime/include/*.h",), 2100),
    Budget("CUDA's words, C++", ("runtime/include/vocabulary/*.h", "runtime/include/nvidia/**/*"), 1100),
    Budget("gradient_check", ("gradient_check/*.py",), 1000),
    Budget("models", ("models/**/*.py",), 1600),
    Budget("training + evaluation", ("training/*.py", "evaluation/*.py"), 1600),
    Budget("analysis", ("analysis/**/*.py",), 1650),
    Budget("export", ("export/*.py",), 500),
    Budget("distributed", ("distributed/*.py",), 620),
    Budget("cli", ("cli/*.py",), 1400),
    Budget("data + serialization", ("data/*.py", "serialization.py"), 1850),
    Budget("interchange", ("interchange/*.py",), 850),
    Budget("creation + saving", ("creation.py", "saving.py"), 200),
    Budget("single modules", ("__init__.py", "__main__.py", "errors.py", "interrupts.py", "notebook.py"), 300),
)
FILE_LIMIT, FUNCTION_LIMIT = 300, 40
PROGRAMS = ("train_cifar.py", "train_imagenet.py")
SUFFIXES = (".py", ".cu", ".cuh", ".h")


def source_files(root: Path) -> list[Path]:
    """List the files whose length is limited: the package's, and the training programs."""
    package = sorted(path for path in (root / "minisk").rglob("*") if path.suffix in SUFFIXES)
    return [*package, *(root / name for name in PROGRAMS if (root / name).exists())]


def code_lines(path: Path) -> int:
    source = path.read_text(encoding="utf-8")
    return python_lines(source) if path.suffix == ".py" else c_lines(source)


def budget_use(root: Path) -> dict[Budget, int]:
    """Return the lines of code under each budget."""
    return {budget: sum(code_lines(path) for path in budget.files(root)) for budget in BUDGETS}


def long_functions(path: Path, root: Path) -> list[str]:
    """Name each Python function of more than FUNCTION_LIMIT lines of code."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            text = textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno]))
            if (count := python_lines(text)) > FUNCTION_LIMIT:
                place = path.relative_to(root)
                found.append(f"{place}: {node.name} has {count} lines of code, at most {FUNCTION_LIMIT} allowed")
    return found


def problems(root: Path) -> list[str]:
    """Name each package, file and function that is over its budget, one a line."""
    found = [
        f"{budget.name}: {count} lines of code, at most {budget.limit} allowed"
        for budget, count in budget_use(root).items()
        if count > budget.limit
    ]
    for path in source_files(root):
        if (count := code_lines(path)) > FILE_LIMIT:
            found.append(f"{path.relative_to(root)}: {count} lines of code, at most {FILE_LIMIT} allowed")
        if path.suffix == ".py":
            found += long_functions(path, root)
    return found


def main() -> int:
    """Print the use of each budget, then what is over it. Return 1 if anything is."""
    print(f"{'lines of code':<30} {'used':>6} {'budget':>6}")
    for budget, count in budget_use(ROOT).items():
        print(f"{budget.name:<30} {count:>6} {budget.limit:>6}")
    found = problems(ROOT)
    print("\n".join(found))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
