"""Runs a kernel with every access to memory watched, and says what is wrong with it and what its accesses cost.

What is found is certain, whatever order the threads ran in: out of bounds, misaligned, races, reads of what was never
written, barriers not reached by all. What is counted is what a profiler would show of a GPU; see host/counters.h.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import KernelError
from .host import HostKernel, Three, aligned_copy

_KINDS = ("out of bounds", "misaligned", "race", "uninitialised", "read only")
_VERBS = ("reads", "writes", "updates")
_SHARED = "shared memory"


class _Accessor(ctypes.Structure):
    """`minisk_accessor` of host/checker.h; the structures below are their namesakes."""

    _fields_ = (
        ("address", ctypes.c_uint64), ("block", ctypes.c_uint * 3), ("thread", ctypes.c_uint * 3),
        ("access", ctypes.c_int),
    )  # fmt: skip


class _Finding(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_int), ("array", ctypes.c_int), ("offset", ctypes.c_int64), ("bytes", ctypes.c_uint),
        ("count", ctypes.c_uint64), ("here", _Accessor), ("other", _Accessor),
    )  # fmt: skip


class _Site(ctypes.Structure):
    _fields_ = (
        ("address", ctypes.c_uint64), ("array", ctypes.c_int), ("access", ctypes.c_int), ("bytes", ctypes.c_uint),
        ("requests", ctypes.c_uint64), ("lanes", ctypes.c_uint64), ("transactions", ctypes.c_uint64),
        ("least_transactions", ctypes.c_uint64), ("block_bytes", ctypes.c_uint64), ("example", ctypes.c_int64 * 32),
    )  # fmt: skip


class Finding(NamedTuple):
    """One mistake: what kind, in one sentence who did what where, and how often from the same lines."""

    kind: str
    sentence: str
    times: int

    def __str__(self) -> str:
        often = f" ({self.times} times)" if self.times > 1 else ""
        return f"{self.kind}: {self.sentence}{often}"


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
        touched = {lane: offset for lane, offset in enumerate(self.example) if offset >= 0}
        unit, name = (4, "bank") if self.is_shared else (32, "sector")
        cells = {lane: offset // unit for lane, offset in touched.items()}
        columns = range(32) if self.is_shared else sorted(set(cells.values()))
        lines = [f"{self.where}: {self.access} {self.array}, {name} by {name}"]
        for lane, cell in cells.items():
            marks = "".join("#" if column == (cell % 32 if self.is_shared else cell) else "." for column in columns)
            lines.append(f"lane {lane:2d} {marks} byte {touched[lane]}")
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

    def ratio(self, shared: bool) -> float:
        """Transactions over the least possible: sectors of global memory, or wavefronts of shared memory."""
        sites = [site for site in self.sites if site.is_shared == shared]
        return sum(site.transactions for site in sites) / max(1, sum(site.least for site in sites))

    def bytes_ratio(self) -> float:
        """Distinct bytes of global memory that each block moves, added up, over those of all blocks together."""
        sites = [site for site in self.sites if not site.is_shared]
        updated = {s.array for s in sites if s.access == "reads"} & {s.array for s in sites if s.access == "writes"}
        least = sum(self.sizes.values()) + sum(self.sizes[array] for array in updated)
        return sum(site.block_bytes for site in sites) / max(1, least)

    def __str__(self) -> str:
        if self.findings:
            return "\n  ".join([f"{self.launch}: {len(self.findings)} findings", *map(str, self.findings)])
        return f"{self.launch}: clean"

    def table(self) -> str:
        """The counts, a line for each line of source that accesses an array."""
        lines = [
            f"{'line':24} {'array':14} {'':7} {'bytes':>6} {'requests':>9} {'sectors or wavefronts':>22} {'least':>8}"
        ]
        for site in self.sites:
            kind = "wavefronts" if site.is_shared else "sectors"
            lines.append(
                f"{site.where:24} {site.array:14} {site.access:7} {site.bytes_per_lane:6} {site.requests:9} "
                f"{site.transactions:>11} {kind:10} {site.least:8}"
            )
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
        for parameter, array, copy in zip(self.parameters, args, watched, strict=True):
            if parameter.is_array and not parameter.is_const:
                array[...] = copy
        found, sites = self._fetch(_Finding, "finding"), self._fetch(_Site, "site")
        addresses = {accessor.address for each in found for accessor in (each.here, each.other)}
        lines = self._lines(addresses | {site.address for site in sites})
        findings = [self._told(each, lines) for each in found]
        if error and not found:
            findings.append(Finding("synchronisation", error, 1))
        name = f"{self.name}<<<{_short(grid, 1)}, {_short(block, 1)}>>>"
        sizes = {p.name: a.nbytes for p, a in zip(self.parameters, args, strict=True) if p.is_array}
        return CheckReport(name, findings, [self._counted(site, lines) for site in sites], sizes)

    def _fetch(self, kind: type[Any], what: str) -> list[Any]:
        fetched: list[Any] = []
        more = self.library[f"minisk_check_{what}"]
        while more(len(fetched), ctypes.byref(one := kind())):
            fetched.append(one)
        return fetched

    def _lines(self, addresses: Collection[int]) -> dict[int, str]:
        """File and line of each address: the innermost that is not the executor's own, and who called it."""
        command = ["addr2line", "-a", "-i", "-e", str(self.path), *map(hex, addresses)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        lines: dict[int, str] = {}
        for part in filter(None, text.split("0x")):
            address, *frames = part.split()
            frames = [frame for frame in frames if ":" in frame and "/host/" not in frame]
            told = dict.fromkeys(Path(frame).name for frame in frames)
            lines[int(address, 16)] = " called at ".join([*told][:2])
        return lines

    def _array(self, number: int) -> str:
        return self.parameters[number].name if number >= 0 else _SHARED

    def _told(self, finding: _Finding, lines: dict[int, str]) -> Finding:
        array, kind = self._array(finding.array), _KINDS[finding.kind]

        def told(one: _Accessor) -> tuple[str, str]:
            return (
                f"{lines[one.address]} {_VERBS[one.access]}",
                f"thread {_short(one.thread)} of block {_short(one.block)}",
            )

        (action, who), what = told(finding.here), f"{array}, byte {finding.offset}"
        if kind == "race":
            other, other_who = told(finding.other)
            return Finding(kind, f"{action} {what} ({who}), {other} it too ({other_who}), in no order", finding.count)
        return Finding(kind, f"{action} {what}, {finding.bytes} bytes ({who})", finding.count)

    def _counted(self, site: _Site, lines: dict[int, str]) -> Site:
        counts = site.bytes, site.requests, site.lanes, site.transactions, site.least_transactions, site.block_bytes
        return Site(lines[site.address], self._array(site.array), _VERBS[site.access], *counts, tuple(site.example))


def _short(three: Sequence[int], trivial: int = 0) -> str:
    """Leave off what says nothing at the end: an index (3, 0, 0) is 3, with trivial=1 a size (3, 2, 1) is (3, 2)."""
    kept = list(three)
    while len(kept) > 1 and kept[-1] == trivial:
        kept.pop()
    return str(kept[0]) if len(kept) == 1 else str(tuple(kept))
