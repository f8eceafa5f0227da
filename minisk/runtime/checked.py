"""Runs a kernel with every access to memory watched, and says what is wrong with it and what its accesses cost.

What is found is certain, whatever order the threads ran in: out of bounds, misaligned, races, reads of what was never
written, barriers not reached by all. What is counted is what a profiler would show of a GPU; see include/counters.h.
"""

import ctypes
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import KernelError
from .cpu import HostKernel, Three, aligned_copy

_KINDS = ("out of bounds", "misaligned", "race", "uninitialised", "read only")
_VERBS = ("reads", "writes", "updates")
_SHARED = "shared memory"


# As C lays out the structures of include/checker.h and counters.h: minisk_accessor (address, block, thread, access),
# minisk_finding (kind, array, offset, bytes, count, here, other), and minisk_site, whose members are those of a Site.
_ACCESSOR = np.dtype("u8, 3u4, 3u4, i4", align=True)
_FINDING = np.dtype([("", each) for each in ("i4", "i4", "i8", "u4", "u8", _ACCESSOR, _ACCESSOR)], align=True)
_SITE = np.dtype("u8, i4, i4, u4, u8, u8, u8, u8, u8, 32i8", align=True)


class Finding(NamedTuple):
    """One mistake: what kind, in one sentence who did what where, and how often from the same lines."""

    kind: str
    sentence: str
    times: int

    def __str__(self) -> str:
        return f"{self.kind}: {self.sentence}" + (f" ({self.times} times)" if self.times > 1 else "")


class Site(NamedTuple):
    """A line that accesses an array, and what the requests of its warps cost.

    transactions: 32-byte sectors of global memory, or wavefronts of shared memory; `least`: as few as there could be;
    block_bytes: distinct bytes that each block touched, added up; example: the bytes from the array's start that each
    of 32 lanes accessed in the costliest request, -1 for none.
    """

    where: str
    array: str
    access: str
    bytes_per_lane: int
    requests: int
    lanes: int
    transactions: int
    least: int
    block_bytes: int
    example: tuple[int, ...]

    @property
    def is_shared(self) -> bool:
        return self.array == _SHARED

    def picture(self) -> str:
        """Draw the costliest request: a row a lane, a column a bank (shared) or a 32-byte sector (global)."""
        unit, name = (4, "bank") if self.is_shared else (32, "sector")
        cells = {lane: offset // unit for lane, offset in enumerate(self.example) if offset >= 0}
        columns = range(32) if self.is_shared else sorted(set(cells.values()))
        lines = [f"{self.where}: {self.access} {self.array}, {name} by {name}"]
        for lane, cell in cells.items():
            marks = "".join("#" if column == (cell % 32 if self.is_shared else cell) else "." for column in columns)
            lines.append(f"lane {lane:2d} {marks} byte {self.example[lane]}")
        return "\n".join(lines)


class CheckReport(NamedTuple):
    """What a checked launch found and counted."""

    launch: str
    findings: list[Finding]
    sites: list[Site]
    sizes: dict[str, int]  # of the arrays, in bytes

    @property
    def ok(self) -> bool:
        return not self.findings

    def __str__(self) -> str:
        if self.findings:
            return "\n  ".join([f"{self.launch}: {len(self.findings)} findings", *map(str, self.findings)])
        return f"{self.launch}: clean"

    def table(self) -> str:
        """The counts, a line for each line of source that accesses an array."""
        row = "{:24} {:14} {:7} {:>6} {:>9} {:>22} {:>8}".format
        lines = [row("line", "array", "", "bytes", "requests", "sectors or wavefronts", "least")]
        for site in self.sites:
            cost = f"{site.transactions} {'wavefronts' if site.is_shared else 'sectors':10}"
            lines.append(row(site.where, site.array, site.access, site.bytes_per_lane, site.requests, cost, site.least))
        return "\n".join(lines)


class CheckedKernel(HostKernel):
    """A kernel built with its accesses watched; calling it raises KernelError for what is wrong."""

    def __call__(self, grid: Three, block: Three, args: Sequence[Any], dynamic_shared: int) -> None:
        report = self.examine(grid, block, args, dynamic_shared, ())
        if not report.ok:
            raise KernelError(str(report))

    def examine(
        self, grid: Three, block: Three, args: Sequence[Any], dynamic_shared: int, uninitialised: Collection[str]
    ) -> CheckReport:
        """Run it once. uninitialised: names of arrays that hold nothing yet."""
        library, maps = self.library, []
        library.minisk_check_begin()
        watched = [aligned_copy(a) if isinstance(a, np.ndarray) else a for a in args]
        for position, (parameter, array) in enumerate(zip(self.parameters, watched, strict=True)):
            if parameter.is_array:
                unset = ctypes.create_string_buffer(array.nbytes) if parameter.name in uninitialised else None
                maps.append(unset)  # kept alive until the launch is over
                start, length = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)
                library.minisk_check_array(start, length, position, not parameter.is_const, unset)
        error = self.call(grid, block, watched, dynamic_shared)
        for i in self.outputs:
            args[i][...] = watched[i]
        found, sites = self._fetch("finding", _FINDING), self._fetch("site", _SITE)
        places = {address for *_, here, other in found for address, *_ in (here, other)}
        lines = self._lines(places | {address for address, *_ in sites})
        findings = [self._told(lines, *each) for each in found]
        if error and not found:
            findings.append(Finding("synchronisation", error, 1))
        name = f"{self.name}<<<{_short(grid, 1)}, {_short(block, 1)}>>>"
        counted = [
            Site._make((lines[address], self._array(array), _VERBS[access], *counts, tuple(example.tolist())))
            for address, array, access, *counts, example in sites
        ]
        sizes = {p.name: a.nbytes for p, a in zip(self.parameters, args, strict=True) if p.is_array}
        return CheckReport(name, findings, counted, sizes)

    def _fetch(self, what: str, layout: np.dtype[Any]) -> list[Any]:
        fetched: list[Any] = []
        more = self.library[f"minisk_check_{what}"]
        while more(len(fetched), ctypes.c_void_p((one := np.empty((), layout)).ctypes.data)):
            fetched.append(one.item())
        return fetched

    def _lines(self, addresses: Collection[int]) -> dict[int, str]:
        """File and line of each address: the innermost that is not the executor's own, and who called it."""
        command = ["addr2line", "-a", "-i", "-e", str(self.path), *map(hex, addresses)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        lines: dict[int, str] = {}
        for part in filter(None, text.split("0x")):
            address, *frames = part.split()
            frames = [frame for frame in frames if ":" in frame and "/runtime/include/" not in frame]
            told = dict.fromkeys(Path(frame).name for frame in frames)
            lines[int(address, 16)] = " called at ".join([*told][:2])
        return lines

    def _array(self, number: int) -> str:
        return self.parameters[number].name if number >= 0 else _SHARED

    def _told(
        self, lines: dict[int, str], kind: int, array: int, offset: int, size: int, count: int, here: Any, other: Any
    ) -> Finding:
        (action, who), (other_action, other_who) = (
            (f"{lines[address]} {_VERBS[access]}", f"thread {_short(thread)} of block {_short(block)}")
            for address, block, thread, access in (here, other)
        )
        sentence = f"{action} {self._array(array)}, byte {offset}"
        if _KINDS[kind] == "race":
            sentence += f" ({who}), {other_action} it too ({other_who}), in no order"
        else:
            sentence += f", {size} bytes ({who})"
        return Finding(_KINDS[kind], sentence, count)


def _short(three: Sequence[int], trivial: int = 0) -> str:
    """Leave off what says nothing at the end: an index (3, 0, 0) is 3, with trivial=1 a size (3, 2, 1) is (3, 2)."""
    kept = [int(size) for size in three]
    while len(kept) > 1 and kept[-1] == trivial:
        kept.pop()
    return str(kept[0]) if len(kept) == 1 else str(tuple(kept))
