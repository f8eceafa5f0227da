"""Copies of a launch's arrays for modes `threads` and `check`: one copy for each distinct memory.

An array given twice, or views that overlap, share memory on a GPU. Their copies do too, so that a kernel that reads
what another thread writes makes the same mistake here. Each copy is aligned as the original would be on a GPU.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

_ALIGNMENT = 256  # bytes; CuPy's arrays start at a multiple of it
_GUARD = 4096  # bytes on either side of a copy


def address_of(array: np.ndarray[Any, Any]) -> int:
    """Return the address of the first element."""
    try:
        # Three times as fast as array.ctypes.data, but neither for read-only arrays nor for empty ones.
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return array.ctypes.data


class MemoryCopy:
    """A copy of one array, or of arrays that share memory, between two bands of guard bytes.

    members: the indices of the arguments that lie in it; nbytes: its size.
    """

    def __init__(self, args: Sequence[Any], members: Sequence[int], seed: int) -> None:
        self.members = list(members)
        addresses = [address_of(args[i]) for i in members]
        start = min(addresses)
        self.nbytes = max(a + args[i].nbytes for a, i in zip(addresses, members, strict=True)) - start
        memory = np.empty(self.nbytes + 2 * _GUARD + 2 * _ALIGNMENT, np.uint8)
        offset = _offset_on_a_gpu(args[members[addresses.index(start)]])
        skipped = (offset - _GUARD - address_of(memory)) % _ALIGNMENT
        self._whole = memory[skipped : skipped + self.nbytes + 2 * _GUARD]
        # Random bytes, others for each copy and side: a write that copies a guard byte onto another would go unnoticed
        # between equal ones.
        self._before, self._after = np.random.default_rng(seed).integers(0, 256, (2, _GUARD), np.uint8)
        self._whole[:_GUARD], self._whole[_GUARD + self.nbytes :] = self._before, self._after
        self.arrays: dict[int, np.ndarray[Any, Any]] = {}
        for address, i in zip(addresses, members, strict=True):
            first = _GUARD + address - start
            part = self._whole[first : first + args[i].nbytes]
            self.arrays[i] = part.view(args[i].dtype).reshape(args[i].shape)
            self.arrays[i][...] = args[i]

    @property
    def overrun(self) -> str:
        """The side on which a guard band was written to, "before" or "after"; "" if neither was."""
        if not np.array_equal(self._whole[:_GUARD], self._before):
            return "before"
        return "" if np.array_equal(self._whole[_GUARD + self.nbytes :], self._after) else "after"


def copy_arrays(args: Sequence[Any]) -> tuple[list[MemoryCopy], list[Any]]:
    """Copy the arrays among the arguments. Returns the copies, and the arguments with the copied arrays."""
    indices = [i for i, arg in enumerate(args) if isinstance(arg, np.ndarray)]
    groups: list[list[int]] = []
    end = 0  # of the memory of the last group
    for start, i in sorted((address_of(args[i]), i) for i in indices):
        if groups and start < end and args[i].nbytes:
            groups[-1].append(i)
        else:
            groups.append([i])
        end = max(end, start + args[i].nbytes)
    copies = [MemoryCopy(args, sorted(group), seed) for seed, group in enumerate(groups)]
    arrays = {i: array for copy in copies for i, array in copy.arrays.items()}
    return copies, [arrays.get(i, arg) for i, arg in enumerate(args)]


def _offset_on_a_gpu(array: np.ndarray[Any, Any]) -> int:
    """Return the address modulo 256 that an array would have on a GPU, where the memory it is a view of is aligned."""
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    start = 0 if owner.base is not None else owner.ctypes.data
    return (array.ctypes.data - start) % _ALIGNMENT
