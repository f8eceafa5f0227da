"""Refuse a launch that needs more memory than the machine has, before it is used up."""

import re
from collections.abc import Mapping
from pathlib import Path

_MEMORY = Path("/proc/meminfo")
# Bytes for each element, beside three copies of it: random numbers are drawn as float64, and the checker keeps cells.
_PER_ELEMENT = 24


def check_memory(lengths: Mapping[str, tuple[float, int]]) -> None:
    """Raise ValueError if a checked launch with these arrays needs more memory than is available.

    Args:
        lengths: for the name of each array, its length and the bytes of an element.
    """
    needed = sum(length * (3 * size + max(_PER_ELEMENT, 4 * size)) for length, size in lengths.values())
    available = _available()
    if lengths and needed > available:
        name, (length, _) = max(lengths.items(), key=lambda item: item[1][0] * item[1][1])
        raise ValueError(
            f"the arrays need about {needed / 2**30:.1f} GiB with what the checker keeps of them, "
            f"{available / 2**30:.1f} GiB are available: expected smaller ones; the largest is {name}[{length}]"
        )


def _available() -> float:
    """Return the bytes of memory that are available; infinity if the system does not report it."""
    text = _MEMORY.read_text() if _MEMORY.is_file() else ""
    found = re.search(r"MemAvailable:\s*(\d+) kB", text)
    return int(found[1]) * 1024 if found else float("inf")
