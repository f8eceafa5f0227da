"""Run a kernel with every memory access instrumented, and report its mistakes and what its accesses cost.

The findings do not depend on the order in which threads ran: out of bounds, misaligned, races, reads of uninitialised
memory, barriers that some threads miss. The counts are those of a GPU profiler; see include/counters.h.
"""

import ctypes
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..errors import KernelError
from .addresses import Addresses
from .build import compiler_warnings
from .cpu import HostKernel, Three
from .findings import SHARED_MEMORY, CheckReport, Finding, Site, place_in
from .late_findings import largest_local, never_set, too_much_shared, unwritten, with_barrier_mistakes
from .memory import MemoryCopy, copy_arrays
from .objects import Variable
from .packing import Args
from .positions import with_cuda_types, with_short_positions, without_trailing
from .structures import ACCESSES, KINDS, MiniskAccessor, MiniskFinding, MiniskSite, fetch
from .time_limit import limit_reached, time_limit

_VERBS = {"read": "reads", "write": "writes", "atomic": "updates"}
_NO_ARRAY = -(2**30)
_SMALLEST_ADDRESS = 4096  # that a process has
STACK_OVERFLOW = "of local memory"  # the end of the message of include/fibers.h

_recorded: ContextVar[list[CheckReport] | None] = ContextVar("recorded", default=None)


@contextmanager
def recorded_reports() -> Iterator[list[CheckReport]]:
    """Collect the reports of this thread's checked launches inside a `with` block, those with findings too."""
    reports: list[CheckReport] = []
    token = _recorded.set(reports)
    try:
        yield reports
    finally:
        _recorded.reset(token)


class CheckedKernel(HostKernel):
    """A kernel built with instrumented accesses; calling it raises KernelError if there are findings."""

    def __call__(self, grid: Three, block: Three, args: Args, dynamic_shared: int) -> None:
        report = self.examine(grid, block, args, dynamic_shared, ())
        if not report.ok:
            raise KernelError(str(report))

    def examine(
        self,
        grid: Three,
        block: Three,
        args: Args,
        dynamic_shared: int,
        uninitialised: Collection[str],
        timeout: float | None = None,
    ) -> CheckReport:
        """Run the kernel once and return the report.

        Args:
            grid: blocks along x, y, z.
            block: threads along x, y, z.
            args: the kernel's arguments; arrays are NumPy arrays, outputs are written to.
            dynamic_shared: bytes of dynamic shared memory.
            uninitialised: names of the arrays whose contents are undefined before the launch.
            timeout: seconds after which the launch is ended, with a finding; None for no limit.
        """
        self.check_outputs(args)
        copies, watched = copy_arrays(args)
        known = self._register(copies, uninitialised)
        with time_limit(timeout):
            error = self.call(grid, block, watched, dynamic_shared)
        error = limit_reached(error, timeout)
        self._copy_outputs(watched, args)
        found = fetch(self.library.minisk_check_finding, MiniskFinding)
        sites = fetch(self.library.minisk_check_site, MiniskSite)
        places = Addresses(self.path)
        places.look_up(_addresses(found) | {site.address for site in sites})
        findings = self._findings(found, places)
        if error.endswith(STACK_OVERFLOW):
            error += largest_local(self._warnings("larger-than=16384"), self.source)
        findings += _stopped(error, findings)
        if not findings:
            writers = self._writing_places(sites, places)
            findings += unwritten(self.parameters, self.dtypes, known, watched, writers, self.source)
        findings += too_much_shared([self._variable(s.array) for s in sites if s.array <= -2], self.source)
        name = f"{self.name}<<<{without_trailing(1, grid)}, {without_trailing(1, block)}>>>"
        sizes = {
            p.name: arg.nbytes for p, arg in zip(self.parameters, args, strict=True) if isinstance(arg, np.ndarray)
        }
        findings = with_barrier_mistakes(findings)
        hints = [finding for finding in findings if finding.is_hint]
        findings = [finding for finding in findings if not finding.is_hint]
        report = CheckReport(name, findings, [self._site(each, places) for each in sites], sizes, hints)
        recorded = _recorded.get()
        if recorded is not None:
            recorded.append(report)
        return report

    def _copy_outputs(self, watched: Args, args: Args) -> None:
        for i in self.outputs:
            if isinstance(args[i], np.ndarray):  # not a null pointer
                args[i][...] = watched[i]

    def _register(
        self, copies: Sequence[MemoryCopy], uninitialised: Collection[str]
    ) -> dict[int, np.ndarray[Any, Any]]:
        """Pass the address and size of each array's memory, and of each variable, to the checker.

        Returns, for the index of each uninitialised array, one byte per byte of it: 0 until the launch writes there.
        """
        self.library.minisk_check_begin()
        known = {}
        self._names = [parameter.name for parameter in self.parameters]
        for copy in copies:
            outputs = [i for i in copy.members if not self.parameters[i].is_const]
            index = (outputs or copy.members)[0]  # by which findings name the memory
            self._names[index] = " and ".join(self.parameters[i].name for i in copy.members)
            first = min(copy.arrays.values(), key=lambda array: array.ctypes.data)
            map_ = None  # all bytes are initialised
            if copy.members == [index] and self.parameters[index].name in uninitialised:
                known[index] = np.zeros(copy.nbytes, np.uint8)
                map_ = ctypes.c_void_p(known[index].ctypes.data)
            start, length = ctypes.c_void_p(first.ctypes.data), ctypes.c_size_t(copy.nbytes)
            self.library.minisk_check_array(start, length, index, bool(outputs), map_)
        for number, variable in enumerate(self.variables):
            offset, size = ctypes.c_size_t(variable.offset), ctypes.c_size_t(variable.bytes)
            self.library.minisk_check_object(number, variable.is_shared, offset, size)
        return known

    def _variable(self, array: int) -> Variable:
        return self.variables[-2 - array]

    def _array(self, array: int) -> str:
        """Return what the number of an array in a finding stands for."""
        if array >= 0:
            return self._names[array]
        if array == -1:
            return "dynamic shared memory"
        variable = self._variable(array)
        return f"the shared array {variable.name}" if variable.is_shared else variable.name

    def _site(self, site: MiniskSite, places: Addresses) -> Site:
        is_shared = site.array == -1 or (site.array <= -2 and self._variable(site.array).is_shared)
        return Site(
            where=places.place(site.address),
            array=SHARED_MEMORY if is_shared else self._array(site.array),
            access=_VERBS[ACCESSES[site.access]],
            bytes_per_lane=site.bytes,
            requests=site.requests,
            lanes=site.lanes,
            transactions=site.transactions,
            least=site.least_transactions,
            block_bytes=site.block_bytes,
            example=tuple(site.example),
        )

    def _writing_places(self, sites: Sequence[MiniskSite], places: Addresses) -> dict[int, set[str]]:
        """Return the lines that write to each array."""
        found: dict[int, set[str]] = {}
        for site in sites:
            if ACCESSES[site.access] != "read":
                found.setdefault(site.array, set()).add(places.place(site.address))
        return found

    def _findings(self, found: Sequence[MiniskFinding], places: Addresses) -> list[Finding]:
        findings: dict[tuple[Any, ...], Finding] = {}
        for each in found:
            kind, is_write = KINDS[each.kind].replace("_", " "), ACCESSES[each.here.access] == "write"
            sentence, here = self._sentence(each, kind, places), _place(each.here, places)
            finding = Finding(kind, sentence, each.count, here or place_in(sentence), bool(each.is_hint))
            # The compiler makes several copies of a line in a loop: the same mistake once more.
            key = kind, here, _place(each.other, places), each.array, each.here.access, each.text
            if key in findings:
                findings[key] = findings[key]._replace(times=findings[key].times + each.count)
            elif kind == "uninitialised" and is_write:
                named = never_set(finding, self._warnings("uninitialized", "maybe-uninitialized"), self.source)
                findings |= {key: named[0]} if named else {}
            else:
                findings[key] = finding
        return list(findings.values())

    def _warnings(self, *kinds: str) -> str:
        return compiler_warnings(self.source, self.mode, self.defines, kinds)

    def _sentence(self, finding: MiniskFinding, kind: str, places: Addresses) -> str:
        place, thread = _place(finding.here, places), _thread(finding.here)
        if finding.text:
            text = with_short_positions(with_cuda_types(finding.text.decode(errors="replace")))
            return f"{place}: {text} ({thread})" if place else text
        here, size = _action(finding.here, places), f"{finding.bytes} bytes ({thread})"
        if finding.array == _NO_ARRAY:
            is_null = 0 <= finding.offset < _SMALLEST_ADDRESS
            return f"{here} {'a null pointer' if is_null else 'far from every array'}, {size}"
        array, where = self._array(finding.array), f"byte {finding.offset}{self._element(finding)}"
        if finding.other.address:
            other, other_thread = _action(finding.other, places), _thread(finding.other)
            end = ", the same value" if kind == "same value" else ", in no order"
            return f"{here} {array}, {where} ({thread}), {other} it too ({other_thread}){end}"
        if kind == "misaligned":
            size = f"no multiple of {size}"
        return f"{here} {array}, {where}, {size}"

    def _element(self, finding: MiniskFinding) -> str:
        """Return which element of an argument it is about, as in " = element 3"; "" if the elements are bytes."""
        size = self.dtypes[finding.array].itemsize if finding.array >= 0 else 1
        return f" = element {finding.offset // size}" if size > 1 else ""


def _stopped(error: str, findings: Sequence[Finding]) -> list[Finding]:
    """Return a finding for the executor's error, unless it refers to the findings or is one of them."""
    if not error or error.endswith("findings") or any(error == finding.sentence for finding in findings):
        return []
    return [Finding("stopped", error, 1, place_in(error))]


def _addresses(findings: Sequence[MiniskFinding]) -> set[int]:
    accessors = [accessor for each in findings for accessor in (each.here, each.other)]
    return {address for each in accessors for address in (each.address, each.caller)}


def _place(accessor: MiniskAccessor, places: Addresses) -> str:
    return places.place(accessor.address, accessor.caller)


def _action(accessor: MiniskAccessor, places: Addresses) -> str:
    return f"{_place(accessor, places)} {_VERBS[ACCESSES[accessor.access]]}"


def _thread(accessor: MiniskAccessor) -> str:
    return f"thread {without_trailing(0, accessor.thread)} of block {without_trailing(0, accessor.block)}"
