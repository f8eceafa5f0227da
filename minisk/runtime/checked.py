"""Run a kernel with every memory access instrumented, and report its mistakes and what its accesses cost.

The findings do not depend on the order in which threads ran: out of bounds, misaligned, races, reads of uninitialised
memory, barriers that some threads miss. The counts are those of a GPU profiler; see include/counters.h.
"""

import ctypes
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import KernelError
from .cpu import Args, HostKernel, Three, aligned_copy
from .findings import SHARED_MEMORY, CheckReport, Finding, Site
from .structures import ACCESSES, KINDS, MiniskAccessor, MiniskFinding, MiniskSite, fetch

_VERBS = {"read": "reads", "write": "writes", "atomic": "updates"}


class CheckedKernel(HostKernel):
    """A kernel built with instrumented accesses; calling it raises KernelError if there are findings."""

    def __call__(self, grid: Three, block: Three, args: Args, dynamic_shared: int) -> None:
        report = self.examine(grid, block, args, dynamic_shared, ())
        if not report.ok:
            raise KernelError(str(report))

    def examine(
        self, grid: Three, block: Three, args: Args, dynamic_shared: int, uninitialised: Collection[str]
    ) -> CheckReport:
        """Run the kernel once and return the report.

        Args:
            grid: blocks along x, y, z.
            block: threads along x, y, z.
            args: the kernel's arguments; arrays are NumPy arrays, outputs are written to.
            dynamic_shared: bytes of dynamic shared memory.
            uninitialised: names of the arrays whose contents are undefined before the launch.
        """
        watched = [aligned_copy(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
        buffers = self._register_arrays(watched, uninitialised)
        error = self.call(grid, block, watched, dynamic_shared)
        del buffers  # the checker wrote to them during the launch
        for i in self.outputs:
            args[i][...] = watched[i]
        found = fetch(self.library.minisk_check_finding, MiniskFinding)
        sites = fetch(self.library.minisk_check_site, MiniskSite)
        addresses = {accessor.address for each in found for accessor in (each.here, each.other)}
        lines = self._lines(addresses | {site.address for site in sites})
        findings = [self._finding(each, lines) for each in found]
        if error and not error.endswith("findings"):  # the checker's own error refers to its findings
            findings.append(Finding("stopped", error, 1))
        name = f"{self.name}<<<{_without_trailing(1, grid)}, {_without_trailing(1, block)}>>>"
        sizes = {p.name: arg.nbytes for p, arg in zip(self.parameters, args, strict=True) if p.is_array}
        return CheckReport(name, findings, [self._site(each, lines) for each in sites], sizes)

    def _register_arrays(self, args: Args, uninitialised: Collection[str]) -> list[Any]:
        """Pass the address and size of each array to the checker; return buffers to keep until the launch is over."""
        self.library.minisk_check_begin()
        buffers = []
        for position, (parameter, array) in enumerate(zip(self.parameters, args, strict=True)):
            if parameter.is_array:
                # One byte per byte of the array: 0 until it is initialised. None: all bytes are.
                map_ = ctypes.create_string_buffer(array.nbytes) if parameter.name in uninitialised else None
                buffers.append(map_)
                start, length = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)
                self.library.minisk_check_array(start, length, position, not parameter.is_const, map_)
        return buffers

    def _lines(self, addresses: Collection[int]) -> dict[int, str]:
        """Return "file:line" for each code address, by addr2line: the innermost frame in the kernel file, its caller.

        Frames of the executor's own headers are left out.
        """
        command = ["addr2line", "-a", "-i", "-e", str(self.path), *map(hex, addresses)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        lines: dict[int, str] = {}
        for part in text.split("0x"):
            if not part:
                continue
            address, *frames = part.split()
            names: list[str] = []
            for frame in frames:
                name = Path(frame).name
                if ":" in frame and "/runtime/include/" not in frame and name not in names:
                    names.append(name)
            lines[int(address, 16)] = " called at ".join(names[:2])
        return lines

    def _array(self, number: int) -> str:
        return self.parameters[number].name if number >= 0 else SHARED_MEMORY

    def _site(self, site: MiniskSite, lines: dict[int, str]) -> Site:
        return Site(
            where=lines[site.address],
            array=self._array(site.array),
            access=_VERBS[ACCESSES[site.access]],
            bytes_per_lane=site.bytes,
            requests=site.requests,
            lanes=site.lanes,
            transactions=site.transactions,
            least=site.least_transactions,
            block_bytes=site.block_bytes,
            example=tuple(site.example),
        )

    def _finding(self, finding: MiniskFinding, lines: dict[int, str]) -> Finding:
        kind = KINDS[finding.kind].replace("_", " ")
        here, thread = _action(finding.here, lines), _thread(finding.here)
        sentence = f"{here} {self._array(finding.array)}, byte {finding.offset}"
        if kind == "race":
            other, other_thread = _action(finding.other, lines), _thread(finding.other)
            sentence += f" ({thread}), {other} it too ({other_thread}), in no order"
        else:
            sentence += f", {finding.bytes} bytes ({thread})"
        return Finding(kind, sentence, finding.count)


def _action(accessor: MiniskAccessor, lines: dict[int, str]) -> str:
    return f"{lines[accessor.address]} {_VERBS[ACCESSES[accessor.access]]}"


def _thread(accessor: MiniskAccessor) -> str:
    return f"thread {_without_trailing(0, accessor.thread)} of block {_without_trailing(0, accessor.block)}"


def _without_trailing(value: int, three: Sequence[int]) -> str:
    """Format x, y, z without components at the end that equal value: (3, 0, 0) is "3", (3, 2, 0) is "(3, 2)"."""
    kept = [int(size) for size in three]
    while len(kept) > 1 and kept[-1] == value:
        kept.pop()
    return str(kept[0]) if len(kept) == 1 else str(tuple(kept))
