"""Build many mutants of the kernels together, run each in a separate process, and report how it is killed."""

from __future__ import annotations

import functools
import itertools
import os
import pickle
import re
import resource
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.ma  # np.unique imports it: here once, not in each child
from mutants import Mutant, Part, affected, parts

from minisk.errors import KernelError
from minisk.runtime import Kernel, examine
from minisk.runtime import build as compiler
from minisk.runtime.addresses import Addresses
from minisk.runtime.preprocess import PACKAGE
from minisk.runtime.signature import signatures
from minisk.sanitizer import Case, cases

BATCH = 24  # mutants built together
PROCESSOR_SECONDS = 1  # limit for one launch
SECONDS = 300  # limit for a mutant
TOLERANCE = 1e-5
SPECIAL = (0.0, -np.inf, np.nan)
UNSET = 777  # the elements of an uninitialised array
ONE_THREAD = {"LANES": 1}  # macros that have another value in mode cpu: a team has one thread
BAND = 4096  # bytes of NaN on either side of an array in mode cpu

_INCLUDE = re.compile(r'^#include "([\w.]+)"\n', re.MULTILINE)
_KERNEL = re.compile(r'(extern\s+"C"\s+__global__\s+(?:ANY_BLOCK\s+)?void\s+(?:__launch_bounds__\(\w+\)\s*)?)(\w+)')

Result = list[np.ndarray[Any, Any]] | str  # the arrays a kernel wrote, or the first finding
Batch = list[tuple[int, Mutant | None, list[str]]]  # number, mutant (None: the original), kernels that it affects


class Run(NamedTuple):
    """The cases that one library can run: of one file, mode and dtype, compiled with the same macros."""

    file: str
    mode: str
    dtype: str
    macros: tuple[tuple[str, Any], ...]


# ---- the text of a batch ----


def expanded(file: str, mutant: Mutant | None = None) -> str:
    """Return the text of a kernel file with its includes expanded and the mistake put in."""
    text = (PACKAGE / file).read_text(encoding="utf-8")
    if mutant and mutant.file == file:
        text = mutant.applied(text)
    text = _INCLUDE.sub(lambda match: expanded(match[1], mutant), text)
    return text.replace("#pragma once\n", "\n")


@functools.cache
def included(file: str) -> frozenset[str]:
    """Return the name of a kernel file and of all that it includes."""
    names = _INCLUDE.findall((PACKAGE / file).read_text(encoding="utf-8"))
    return frozenset({file}).union(*map(included, names))


@functools.cache
def parts_of(file: str, is_expanded: bool) -> list[Part]:
    return parts(expanded(file) if is_expanded else (PACKAGE / file).read_text(encoding="utf-8"))


@functools.cache
def kernels_using(file: str, names: frozenset[str]) -> list[str]:
    """Return the kernels of a file that use one of the names, directly or through others."""
    found = affected(parts_of(file, True), names)
    return [name for name in signatures(PACKAGE / file) if name in found]


def kernels_affected(file: str, mutant: Mutant) -> list[str]:
    """Return the kernels of a file that a mistake affects."""
    if mutant.file not in included(file):
        return []
    changed = [part.names for part in parts_of(mutant.file, False) if part.start <= mutant.start < part.end]
    return kernels_using(file, frozenset[str]().union(*changed))


def batch_text(file: str, batch: Batch) -> str:
    """Return the text of a kernel file with the affected kernels of each mutant, named kernel_number."""
    pieces = []
    for number, mutant, kernels in batch:
        text = expanded(file, mutant)
        for part in sorted(parts(text), key=lambda part: -part.start):
            if not part.names <= set(kernels) and _KERNEL.match(text, part.start):
                text = text[: part.start] + text[part.end :]
        text = _KERNEL.sub(rf"\1\2_{number}", text)
        using = " ".join(f"using mutant_{number}::{kernel}_{number};" for kernel in kernels)
        pieces.append(f'#line 1 "mutant-{number}"\nnamespace mutant_{number} {{\n{text}\n}}\n{using}\n')
    return "\n".join(pieces)


# ---- running ----


def in_child(function: Callable[[], Any]) -> Any:
    """Return the result of a function run in a child process; None if that crashes or exceeds the time limit."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.alarm(SECONDS)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # hides the C library's messages about a crash
            answer = pickle.dumps(function())
            with open(writer, "wb") as pipe:
                pipe.write(answer)
        except Exception as error:
            with open(writer, "wb") as pipe:
                pipe.write(pickle.dumps(error))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    result = pickle.loads(answer) if answer else None
    if isinstance(result, Exception):
        raise result
    return result


@functools.cache
def loaded(library: Path, name: str, given: tuple[tuple[str, Any], ...]) -> Kernel:
    return Kernel(library, name, **dict(given))


def run_case(library: Path, number: int, case: Case, mode: str) -> Result:
    """Run a case with the kernel of one mutant in a library."""
    most = int(time.process_time()) + PROCESSOR_SECONDS + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
    kernel = loaded(library, f"mutant_{number}::{case.kernel.name}_{number}", macros(case, mode))
    parameters = kernel.signature.parameters
    args, memories = [], []
    for parameter, arg in zip(parameters, case.args, strict=True):
        if parameter.is_array:
            memory = np.full(arg.nbytes + 2 * BAND, 0xFF, np.uint8)
            copy = memory[BAND:-BAND].view(arg.dtype)
            copy[...] = UNSET if parameter.name in case.uninitialised else arg
            arg = copy
            memories.append(memory)
        args.append(arg)
    if mode == "check":
        report = examine(kernel, case.grid, case.block, args, case.dynamic_shared, case.uninitialised)
        if not report.ok:
            return report.findings[0].kind
    else:
        real = next(arg.dtype for parameter, arg in zip(parameters, args, strict=True) if parameter.type == "real")
        run = kernel.compiled("cpu", real.char)[1]
        x, y, z = case.grid + (1,) * (3 - len(case.grid))
        run((x, y, z), (1, 1, 1), args, case.dynamic_shared)
        if any(not (memory[:BAND] == 255).all() or not (memory[-BAND:] == 255).all() for memory in memories):
            return "write outside an array"
    pairs = zip(parameters, args, strict=True)
    return [arg.copy() for parameter, arg in pairs if parameter.is_array and not parameter.is_const]


def is_same(result: list[np.ndarray[Any, Any]], expected: list[np.ndarray[Any, Any]]) -> bool:
    """Return whether two kernels wrote the same arrays, up to rounding."""
    for one, other in zip(result, expected, strict=True):
        largest = np.abs(other[np.isfinite(other)].astype(float)).max(initial=0)
        with np.errstate(over="ignore", invalid="ignore"):
            if not np.allclose(one, other, rtol=0, atol=TOLERANCE * largest, equal_nan=True):
                return False
    return True


def verdict(library: Path, number: int, mode: str, tried: Sequence[tuple[Case, Any]]) -> str:
    """Return how a mutant is killed, "checker: …" or "value", or "" if it survives. tried: cases and right results."""
    for case, right in tried:
        result = run_case(library, number, case, mode)
        if isinstance(result, str):
            return f"checker: {result}" if mode == "check" else f"value: {result}"
        if not is_same(result, right):
            return "value"
    return ""


def with_some(value: float, case: Case) -> Case:
    """Return the same case with every 97th element of the arrays that the kernel reads replaced by the value."""
    args = [np.array(arg) if isinstance(arg, np.ndarray) else arg for arg in case.args]
    for position, parameter in enumerate(case.kernel.signature.parameters):
        arg = args[position]
        if parameter.is_const and isinstance(arg, np.ndarray) and arg.dtype.kind == "f":
            arg[position % arg.size :: 97] = value
    return case._replace(args=tuple(args))


def macros(case: Case, mode: str) -> tuple[tuple[str, Any], ...]:
    """Return the macros that a case is compiled with in a mode, sorted by name."""
    given = dict(case.kernel.constants)
    if mode == "cpu":
        given.update({name: value for name, value in ONE_THREAD.items() if name in given})
    return tuple(sorted(given.items()))


def cases_of(run: Run) -> list[Case]:
    """Return the cases that a library can run."""
    found = [case for of_kernel in cases(run.file, run.dtype).values() for case in of_kernel]
    if run.mode == "cpu":
        found = [case for case in found if case.kernel.signature.any_block]
    return [case for case in found if macros(case, run.mode) == run.macros]


def build(run: Run, library: Path, batch: Batch) -> set[int]:
    """Build a batch without the mutants that do not compile; return their numbers."""
    failed: set[int] = set()
    while True:
        left = [each for each in batch if each[0] not in failed]
        library.write_text(batch_text(run.file, left), encoding="utf-8")
        try:
            original = Kernel(library, f"mutant_0::{left[0][2][0]}_0", **dict(run.macros))
            original.compiled(run.mode, np.dtype(run.dtype).char)
            return failed
        except KernelError as error:
            # Errors of the compiler or of the linker.
            named = re.findall(
                r"^mutant-(\d+):\d+:\d+: (?:fatal )?error|in function `\w+_(\d+)'", str(error), re.MULTILINE
            )
            wrong = {int(one or other) for one, other in named}
            wrong = wrong or {int(number) for number in re.findall(r"mutant-(\d+):\d+", str(error))}
            if not wrong or 0 in wrong:
                raise
            failed |= wrong


def run_batch(run: Run, batch: Batch) -> dict[int, str]:
    """Build and run a batch, whose first entry is the original; return how each mutant is killed, "" for survivors."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINISK_CACHE"] = folder
        # Uninitialised variables are huge negative numbers with one dtype, and 0 with the other.
        compiler.FLAGS["cpu"][-1] = f"-ftrivial-auto-var-init={'pattern' if run.dtype == 'float32' else 'zero'}"
        library = Path(folder) / run.file
        failed = build(run, library, batch)
        verdicts = dict.fromkeys(failed, "does not compile")
        plain = [case for case in cases_of(run) if case.kernel.name in batch[0][2]]
        tried = [*plain, *(with_some(value, case) for value in SPECIAL for case in plain)]
        expected = in_child(lambda: [run_case(library, 0, case, run.mode) for case in tried])
        for case, result in zip(tried, expected, strict=True):
            if isinstance(result, str):
                raise KernelError(f"{case.kernel.name}, without a mistake: {result}")
        for number, _, kernels in batch[1:]:
            if number not in failed:
                pairs = zip(tried, expected, strict=True)
                affected_cases = [(case, right) for case, right in pairs if case.kernel.name in kernels]
                try:
                    found = in_child(functools.partial(verdict, library, number, run.mode, affected_cases))
                # The kernel crashed, or it overwrote memory of Python or NumPy.
                except (KernelError, ValueError, MemoryError, SystemError):
                    found = None
                verdicts[number] = "crash" if found is None else found
    return verdicts


def _prepare_process() -> None:
    """Prepare a worker process: build without debug information, and do not look up line numbers."""
    bounds = ["-fsanitize=bounds", "-fsanitize-undefined-trap-on-error"]  # local arrays
    compiler.FLAGS["check"] += ["-g0"]
    compiler.FLAGS["cpu"] += ["-O1", "-g0", *bounds, ""]
    os.environ.update(OMP_NUM_THREADS="1", LC_ALL="C")
    Addresses.look_up = lambda self, addresses: self._frames.update({each: [] for each in addresses})  # type: ignore[method-assign]


class Work:
    """The mutants and their runs: each is run with one library after the other, until one kills it."""

    def __init__(self, chosen: Sequence[Mutant], files: Sequence[str]) -> None:
        self.chosen = chosen
        self.verdicts: dict[int, str] = {}
        self.seen_in: dict[int, dict[Run, list[str]]] = {}
        tried = {file: cases(file) for file in files}
        for number, mutant in enumerate(chosen, start=1):
            runs: dict[Run, list[str]] = defaultdict(list)
            for dtype, mode, file in itertools.product(("float32", "float64"), mutant.modes, files):
                for kernel in kernels_affected(file, mutant):
                    found = [case for case in tried[file][kernel] if mode == "check" or case.kernel.signature.any_block]
                    for given in sorted({macros(case, mode) for case in found}):
                        runs[Run(file, mode, dtype, given)].append(kernel)
            self.seen_in[number] = dict(runs)

    def batches(self) -> Iterator[tuple[Run, Batch]]:
        """Yield the next run of every mutant that is alive, in batches; nothing when all runs are done."""
        waiting: dict[Run, list[int]] = defaultdict(list)
        for number, runs in self.seen_in.items():
            if runs and not self.verdicts.get(number):
                waiting[next(iter(runs))].append(number)
        for run, numbers in waiting.items():
            for first in range(0, len(numbers), BATCH):
                batch: Batch = []
                for number in numbers[first : first + BATCH]:
                    batch.append((number, self.chosen[number - 1], self.seen_in[number].pop(run)))
                all_kernels = {kernel for _, _, kernels in batch for kernel in kernels}
                yield run, [(0, None, sorted(all_kernels)), *batch]

    def finish(self, jobs: int) -> None:
        with get_context("fork").Pool(jobs, _prepare_process, maxtasksperchild=4) as pool:
            while batches := list(self.batches()):
                tasks = [pool.apply_async(run_batch, batch) for batch in batches]
                for done, task in enumerate(tasks, start=1):
                    self.verdicts |= task.get()
                    if sys.stderr.isatty():
                        print(f"\r{done} of {len(tasks)} batches ", end="", file=sys.stderr)
