"""Findings that are known when a launch is over: unwritten outputs, variables never set, too much shared memory."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .findings import Finding
from .objects import Variable
from .signature import Parameter, read_source

_MOST_STATIC_SHARED = 48 * 1024  # bytes of a block, of every GPU


def unwritten(
    parameters: Sequence[Parameter],
    dtypes: Sequence[np.dtype[Any]],
    known: Mapping[int, np.ndarray[Any, Any]],
    args: Sequence[Any],
    places: Mapping[int, Collection[str]],
    source: Path,
) -> list[Finding]:
    """Return a finding for each uninitialised array of which some elements were not written.

    Args:
        parameters: those of the kernel.
        dtypes: of the elements they point at; that of an array may be of their components.
        known: for the index of an uninitialised array, one byte for each byte of it: 0 if it was not written.
        args: the arguments of the launch.
        places: for the index of an array, the lines that write to it.
        source: the kernel file.
    """
    findings = []
    for index, bytes_ in known.items():
        name, array = parameters[index].name, args[index]
        components = max(1, dtypes[index].itemsize // array.itemsize)
        written = bytes_.reshape(array.size, -1).any(axis=1) if array.size else np.empty(0, bool)
        missing = np.unique(np.flatnonzero(~written) // components)
        if missing.size == 0:
            continue
        lines = sorted(places.get(index, ()))
        writers = "".join(f"; {line} writes to it{_index_set(name, line, source)}" for line in lines)
        which = f"{missing.size} of the {array.size // components} elements of {name}"
        sentence = (
            f"{which} are never written, from element {missing[0]} on{writers or '; no line writes to it'} "
            f"(if that is meant, give {name} a value in the check: line)"
        )
        findings.append(Finding("unwritten", sentence, 1, lines[0] if lines else ""))
    return findings


def _index_set(array: str, place: str, source: Path) -> str:
    """Return where the index of a write was set, as in ", at index i, set on kernel.cu:5"; "" if that is not plain.

    Args:
        array: the name of the array that is written.
        place: file and line of the write.
        source: the kernel file.
    """
    number = int(place.rpartition(":")[2])
    above = read_source(source).splitlines()[:number] if place == f"{source.name}:{number}" else []
    index = re.search(rf"\b{re.escape(array)}\s*\[\s*(\w+)\s*\]", above[-1]) if above else None
    if index is None:
        return ""
    assigned = re.compile(rf"\b{index[1]}\s*=[^=]")
    lines = (line for line in range(number, 0, -1) if assigned.search(above[line - 1]))
    return next((f", at index {index[1]}, set on {source.name}:{line}" for line in lines), "")


def too_much_shared(used: Collection[Variable], source: Path) -> list[Finding]:
    """Return a finding if the `__shared__` arrays that a launch accessed are larger than a GPU's limit."""
    arrays = sorted({variable for variable in used if variable.is_shared}, key=lambda each: -each.bytes)
    total = sum(array.bytes for array in arrays)
    if total <= _MOST_STATIC_SHARED:
        return []
    place = _declaration(arrays[0].name, source)
    sizes = ", ".join(f"{array.name} {array.bytes}" for array in arrays)
    sentence = f"{place}: {total} bytes of __shared__ arrays ({sizes}), a GPU has {_MOST_STATIC_SHARED}"
    return [Finding("shared memory", f"{sentence}: use dynamic shared memory", 1, place)]


def _declaration(name: str, source: Path) -> str:
    """Return the file and line that declares a `__shared__` array."""
    pattern = re.compile(rf"__shared__\b.*\b{re.escape(name)}\b")
    for number, line in enumerate(read_source(source).splitlines(), start=1):
        if pattern.search(line):
            return f"{source.name}:{number}"
    return source.name


def never_set(finding: Finding, warnings: str, source: Path) -> list[Finding]:
    """Return the finding of a store whose value is the pattern of a variable never set, with the variable's name.

    The pattern may be data: it is a finding only if the compiler, too, says that a variable may be uninitialised.

    Args:
        finding: of the store.
        warnings: the compiler's text about variables that may be uninitialised.
        source: the kernel file.
    """
    declared = re.search(rf"{re.escape(str(source))}:(\d+):\d+: note: .(\w+). was declared here", warnings)
    if declared is None:
        return []
    number, name = int(declared[1]), declared[2]
    uses = (
        f", first used at {source.name}:{later}"
        for later, line in enumerate(read_source(source).splitlines(), start=1)
        if later > number and re.search(rf"\b{name}\b", line)
    )
    cause = f"the value of {name}, declared at {source.name}:{number}{next(uses, '')}, was never set"
    return [finding._replace(sentence=f"{finding.sentence}: {cause}")]


def largest_local(warnings: str, source: Path) -> str:
    """Return the largest local array and where it is declared; "" for none.

    Args:
        warnings: the compiler's text about large objects.
        source: the kernel file.
    """
    pattern = rf"{re.escape(str(source))}:(\d+):\d+: error: size of .(\w+). (\d+) bytes"
    found = [(int(size), name, line) for line, name, size in re.findall(pattern, warnings)]
    if not found:
        return ""
    size, name, line = max(found)
    return f"; {name}, declared at {source.name}:{line}, has {size} bytes"


def with_barrier_mistakes(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings, and as mistakes the barriers that some warps missed if there is any other mistake.

    A barrier without warps that have exited is a hint in a kernel that is otherwise right. Beside a race it is probably
    the cause: the warps ran past it.
    """
    if all(finding.is_hint for finding in findings):
        return list(findings)
    return [f._replace(is_hint=False) if f.kind == "synchronisation" else f for f in findings]
