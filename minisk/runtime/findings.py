"""What a checked launch reports: findings (mistakes) and sites (what each line's memory accesses cost)."""

import re
from collections.abc import Sequence
from typing import NamedTuple

SHARED_MEMORY = "shared memory"  # the `array` of a Site that accesses shared memory


class Finding(NamedTuple):
    """One mistake, or a hint.

    kind: "race", "out of bounds", …; sentence: which line and thread did what; times: how often the same lines did it;
    place: "file.cu:7", or "" if no line is known; is_hint: a GPU executes it as meant.
    """

    kind: str
    sentence: str
    times: int
    place: str = ""
    is_hint: bool = False

    def __str__(self) -> str:
        text = f"{self.kind}: {self.sentence}" + (f" ({self.times} times)" if self.times > 1 else "")
        return f"hint: {text}" if self.is_hint else text


def place_in(sentence: str) -> str:
    """Return the place with which a sentence begins, as "file.cu:7"; "" if it begins with none."""
    place = re.match(r"([^:\s]+:\d+)(?: called at [^:\s]+:\d+)?: ", sentence)
    return place[0].removesuffix(": ") if place else ""


class Site(NamedTuple):
    """A line of source that accesses an array, and what the requests of its warps cost.

    where: file and line; access: "reads", "writes" or "updates" (atomically).
    requests, lanes: accesses of a warp together, and the lanes that took part.
    transactions: 32-byte sectors of global memory, or wavefronts of shared memory; least: the smallest possible number.
    block_bytes: distinct bytes that a block accessed, summed over blocks.
    example: for the costliest request, the byte offset from the array's start for each of 32 lanes; -1 for an idle one.
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
        return self.array == SHARED_MEMORY


class CheckReport(NamedTuple):
    """The findings and counts of one checked launch.

    launch: kernel, grid and block; findings: the mistakes; sizes: bytes of each array; hints: what a GPU executes as
    meant, but which deserves a look.
    """

    launch: str
    findings: list[Finding]
    sites: list[Site]
    sizes: dict[str, int]
    hints: Sequence[Finding] = ()

    @property
    def ok(self) -> bool:
        return not self.findings

    def __str__(self) -> str:
        count = "1 finding" if len(self.findings) == 1 else f"{len(self.findings)} findings"
        verdict = "clean" if self.ok else count
        return "\n  ".join([f"{self.launch}: {verdict}", *map(str, [*self.findings, *self.hints])])
