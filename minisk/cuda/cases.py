"""With what sizes a kernel is to be tried: a line of comment above it, in CUDA's own words.

    // check: <<<(6, 3), 64>>> spatial=2051 a[6] x[6*spatial] out[6*spatial]

Between <<< and >>> stand grid, block and, if need be, bytes of dynamic shared memory (64*real: room for 64 numbers);
then every number, and every array with its length. What the kernel declares const is filled with random numbers; other
arrays are not initialised, unless the line says with what: `weight[n]=random`, `total[1]=0`, `winner[n]=below(9)`
(integers, 0 to 8) or `sizes[2]=5,n`. A name that is no argument is a macro to compile with. A kernel may have several
such lines.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import KernelError
from .launcher import Kernel
from .source import REAL, WIDE, Parameter, locate, signatures

_LINE = re.compile(r"//\s*check:\s*<<<(?P<shape>.*?)>>>(?P<values>.*)|__global__[^(;]*?(?P<kernel>\w+)\s*\(")
_VALUE = re.compile(r"(?P<name>\w+)(?:\[(?P<size>[^\]]+)\])?(?:=(?P<value>\S+))?")
_OPERATORS: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
}  # fmt: skip


class Case(NamedTuple):
    """One way to run a kernel, in the order that `examine` takes it."""

    kernel: Kernel
    grid: tuple[int, ...]
    block: tuple[int, ...]
    args: tuple[Any, ...]
    dynamic_shared: int
    uninitialised: frozenset[str]


def cases(file: str | Path, dtype: str = "float32") -> dict[str, list[Case]]:
    """Return the cases of every kernel in a file, none for a kernel without a `check:` line. Raises KernelError."""
    path = locate(file)
    found: dict[str, list[Case]] = {name: [] for name in signatures(path)}
    waiting: list[re.Match[str]] = []
    for match in _LINE.finditer(path.read_text(encoding="utf-8")):
        if match["kernel"] is None:
            waiting.append(match)
        elif match["kernel"] in found:
            found[match["kernel"]] = [_case(path, match["kernel"], line, np.dtype(dtype)) for line in waiting]
            waiting = []
    return found


def _case(path: Path, kernel: str, line: re.Match[str], real: np.dtype[Any]) -> Case:
    where = f"{path.name}: {line[0]!r}, above {kernel}"
    parameters = {parameter.name: parameter for parameter in signatures(path)[kernel].parameters}
    try:
        shape = _number(f"({line['shape']},)", {"real": real.itemsize})
        given = {m["name"]: m for m in map(_VALUE.fullmatch, line["values"].split()) if m}
        macros = {name: _number(m["value"], {}) for name, m in given.items() if name not in parameters}
        numbers = dict(macros)
        for name, match in given.items():
            if name in parameters and not parameters[name].is_array:
                numbers[name] = _number(match["value"], numbers)
        random = np.random.default_rng(0)
        args = [
            _array(given[name], parameter, real, numbers, random) if parameter.is_array else numbers[name]
            for name, parameter in parameters.items()
        ]
    except KeyError as error:
        raise KernelError(f"{where}: says nothing of {error}") from error
    except (ValueError, SyntaxError, TypeError) as error:
        raise KernelError(f"{where}: {error}") from error
    grid, block = (tuple(np.atleast_1d(sizes).tolist()) for sizes in shape[:2])
    outputs = (name for name, parameter in parameters.items() if parameter.is_array and not parameter.is_const)
    unset = frozenset(name for name in outputs if not given[name]["value"])
    return Case(Kernel(path, kernel, **macros), grid, block, tuple(args), shape[2] if len(shape) > 2 else 0, unset)


def _number(text: str, names: Mapping[str, Any]) -> Any:
    """The value of a sum or product of numbers and names."""

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return node.value
        if isinstance(node, ast.Name):
            return names[node.id]
        if isinstance(node, ast.Tuple):
            return tuple(map(value, node.elts))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](value(node.left), value(node.right))
        raise ValueError(f"{text!r} is not made of numbers, names, +, -, * and //")

    if not text:
        raise ValueError("a number has a value, and an array a length: n=5 x[n]")
    return value(ast.parse(text, mode="eval").body)


def _array(
    match: re.Match[str],
    parameter: Parameter,
    real: np.dtype[Any],
    names: Mapping[str, Any],
    random: np.random.Generator,
) -> np.ndarray[Any, Any]:
    dtype = parameter.dtype({"real": REAL[real.char], "wide": WIDE[real.char], "index_t": "int"})
    size = _number(match["size"], names)
    value = match["value"] or ("random" if parameter.is_const else "0")
    below = re.fullmatch(r"below\((\d+)\)", value)
    if below:
        return random.integers(0, int(below[1]), size).astype(dtype)
    if "," in value:
        return np.array([_number(number, names) for number in value.split(",")], dtype)
    if value == "random":
        return random.standard_normal(size).astype(dtype)
    return np.full(size, _number(value, names), dtype)
