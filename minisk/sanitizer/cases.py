"""With what sizes a kernel is to be tried: a line of comment above it, in CUDA's own words.

    // check: <<<(6, 3), 64>>> spatial=2051 a[6] x[6*spatial] out[6*spatial]

Between <<< and >>> stand grid, block and, if need be, bytes of dynamic shared memory (64*real: room for 64 numbers);
then every number, and every array with its length. What the kernel declares const is filled with random numbers; other
arrays are not initialised, unless the line says with what: `weight[n]=random`, `total[1]=0`, `winner[n]=below(9)`
(integers, 0 to 8) or `sizes[2]=5,n`. A name that is no argument is a macro to compile with. A kernel may have several
such lines. Further cases of X.cu are in cases/X.txt beside it, one a line: `kernel: <<<grid, block>>> values`.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import KernelError
from ..runtime.launcher import Kernel
from ..runtime.signature import REAL, WIDE, locate, signatures

_LINE = re.compile(r"//\s*check:\s*<<<(?P<shape>.*?)>>>(?P<values>.*)|__global__[^(;]*?(?P<kernel>\w+)\s*\(")
_FILE_LINE = re.compile(r"^(?P<kernel>\w+):\s*<<<(?P<shape>.*?)>>>(?P<values>.*)$", re.MULTILINE)
_VALUE = re.compile(r"(?P<name>\w+)(?:\[(?P<size>[^\]]+)\])?(?:=(?P<value>\S+))?")


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
    further = path.parent / "cases" / f"{path.stem}.txt"
    for match in _FILE_LINE.finditer(further.read_text(encoding="utf-8")) if further.is_file() else ():
        if match["kernel"] not in found:
            raise KernelError(f"{further.name}: {path.name} has no kernel {match['kernel']!r}")
        found[match["kernel"]].append(_case(path, match["kernel"], match, np.dtype(dtype)))
    return found


def _case(path: Path, kernel: str, line: re.Match[str], real: np.dtype[Any]) -> Case:
    parameters = {parameter.name: parameter for parameter in signatures(path)[kernel].parameters}
    types = {"real": REAL[real.char], "wide": WIDE[real.char], "index_t": "int"}
    try:
        shape = _value(f"{line['shape']},", {"real": real.itemsize})
        given = {m["name"]: m for m in map(_VALUE.fullmatch, line["values"].split()) if m}
        numbers: dict[str, Any] = {}
        for name, match in given.items():
            if match["size"] is None:
                numbers[name] = _value(match["value"], numbers)
        random = np.random.default_rng(0)
        args, unset = [], set()
        for name, parameter in parameters.items():
            if not parameter.is_array:
                args.append(numbers[name])
                continue
            size, value = _value(given[name]["size"], numbers), given[name]["value"]
            if not (value or parameter.is_const):
                unset.add(name)
            draws = {"random": random.standard_normal(size), "below": partial(random.integers, 0, size=size)}
            values = _value(value or ("random" if parameter.is_const else "0"), numbers | draws)
            args.append(np.full(size, values, parameter.dtype(types)))
    except KeyError as error:
        raise KernelError(f"{path.name}: {line[0]!r}, above {kernel}: says nothing of {error}") from error
    except (ArithmeticError, NameError, SyntaxError, TypeError, ValueError) as error:
        raise KernelError(f"{path.name}: {line[0]!r}, above {kernel}: {error}") from error
    macros = {name: value for name, value in numbers.items() if name not in parameters}
    grid, block = (tuple(np.atleast_1d(sizes).tolist()) for sizes in shape[:2])
    return Case(Kernel(path, kernel, **macros), grid, block, tuple(args), (*shape, 0)[2], frozenset(unset))


def _value(text: str | None, names: Mapping[str, Any]) -> Any:
    if not text:
        raise ValueError("a number has a value, and an array a length: n=5 x[n]")
    # No more is trusted than anyway: the file this stands in is compiled, and run in this process.
    return eval(text, {"__builtins__": {}, **names})
