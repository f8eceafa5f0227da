"""Group: the processes that train one network together, and what they exchange. One process alone is a Group too.

Each process has a rank, 0 … size - 1. Every rank calls the same methods in the same order. A sum is taken in the order
of the ranks, so its bits depend neither on the MPI library nor on which machine a rank runs.
"""

import hashlib
import json
from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar

import numpy as np

from ..backend import Array, to_device
from ..errors import MiniskError

Result = TypeVar("Result")
Steps = Generator[None, None, None]  # a transfer under way: each `next` tests whether it goes on


class EndedByPeer(MiniskError):
    """Another rank failed and reports why. This rank ends without a sentence of its own."""


class Group:
    """One process alone: nothing is exchanged. `MpiGroup` and `NcclGroup` override every method.

    Attributes:
        rank: this process's number.
        size: number of processes.
        local_rank: this process's number on its machine, which selects its GPU.
        library: the name of the library that exchanges, "" for one process.
    """

    rank, size, local_rank, library = 0, 1, 0, ""

    def gather(self, array: Array) -> Array:
        """Return every rank's array, (size, …). All have one shape and dtype."""
        return array[np.newaxis]

    def start_sum(self, flat: Array) -> Steps:
        """Sum a contiguous array of shape (n,) over the ranks, in place, while the caller iterates and does other work.

        The first `next` sends. The sum is complete when the iteration ends.
        """
        yield from ()

    def sum(self, flat: Array) -> None:
        """Sum a contiguous array of shape (n,) over the ranks, in place."""

    def broadcast(self, array: Array) -> None:
        """Overwrite a contiguous array with rank 0's."""

    def finish(self, steps: Steps) -> None:
        """Wait for the end of a `start_sum`."""
        for _ in steps:
            pass

    def close(self) -> None:
        """Leave the group, once every rank has come here. A process that ends otherwise ends all the others."""


def broadcast_json(group: Group, value: Any) -> Any:
    """Return rank 0's value, which JSON can hold."""
    if group.size == 1:
        return value
    content = json.dumps(value).encode() if group.rank == 0 else b""
    length = np.array([len(content)], np.int64)
    group.broadcast(length)
    letters = np.frombuffer(content, np.uint8).copy() if group.rank == 0 else np.empty(int(length[0]), np.uint8)
    group.broadcast(letters)
    return json.loads(letters.tobytes())


def broadcast_arrays(group: Group, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return rank 0's arrays by name, on the CPU."""
    forms = {name: [array.shape, array.dtype.str] for name, array in arrays.items()}
    received = {}
    for name, (shape, dtype) in broadcast_json(group, forms).items():
        array = np.ascontiguousarray(arrays[name]) if group.rank == 0 else np.empty(shape, dtype)
        group.broadcast(array)
        received[name] = array
    return received


def together(group: Group, work: Callable[[], Result]) -> Result:
    """Return work(). If it fails on some ranks, raise the error on the first of them and EndedByPeer on the others.

    work: must not exchange anything, because a rank that failed would not take part.
    """
    error: Exception | None = None
    result: Result | None = None
    try:
        result = work()
    except (MiniskError, OSError, MemoryError) as failure:
        error = failure
    failed = np.flatnonzero(group.gather(np.array([error is not None])))
    if not len(failed):
        return result  # type: ignore[return-value]  # work has returned it
    if error is not None and failed[0] == group.rank:
        raise error
    raise EndedByPeer(f"rank {failed[0]} failed")


def fail_together(group: Group, error: MiniskError) -> MiniskError:
    """Return what to raise for an error that every rank has: rank 0 reports it, the others end without a sentence."""
    return error if group.rank == 0 else EndedByPeer(str(error))


def require_same_state(group: Group, arrays: Mapping[str, Array]) -> None:
    """Raise MiniskError, on every rank, unless all ranks hold the same arrays bit for bit."""
    if group.size == 1:
        return
    digests = [hashlib.sha1(_bytes_of(array), usedforsecurity=False).digest() for array in arrays.values()]
    every = group.gather(np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), -1))
    wrong = np.argwhere((every != every[0]).any(axis=2))
    if len(wrong):
        rank, position = wrong[0]
        name = list(arrays)[position]
        problem = f"rank {rank} has other bits in {name} than rank 0: the ranks have not computed the same steps"
        raise fail_together(group, MiniskError(problem))


def _bytes_of(array: Array) -> Any:
    return np.ascontiguousarray(to_device(array, "cpu")).reshape(-1).view(np.uint8).data
