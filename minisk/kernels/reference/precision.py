"""How the reference rounds: float16 is for storage only, long sums are cut into short ones, and masks select.

float16 is widened to float32, and the result of the computation is narrowed once.
"""

import math

import numpy as np

from ...backend import Array

SHORT = 64  # terms: NumPy adds them one by one with an error of a few units in the last place
ROWS = 16  # rows that are added one by one: the error of n rows then grows with 16·log₁₆(n) at most


def widen(x: Array) -> Array:
    """Return x in the dtype to compute in: float32 for float16, else its own."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def for_product(x: Array) -> Array:
    """Return a factor of a matrix product: float16 stays so on a GPU, whose tensor cores add up in float32."""
    return widen(x) if isinstance(x, np.ndarray) else x


def narrow(x: Array, like: Array) -> Array:
    """Return a result in the dtype of the input it was computed from."""
    return x.astype(like.dtype, copy=False)


def masked(x: Array, mask: Array) -> Array:
    """Return x where the mask holds, else 0; the mask broadcasts to the shape of x. There is no kernel for it.

    A product with the mask would be NaN where x is infinite and cut off. An AND of bits takes as long as a product, and
    a sixth of the time of where(), which branches at every element.
    """
    integers = f"i{x.itemsize}"
    return ((-mask.astype(integers)) & x.view(integers)).view(x.dtype)


def precise_sum(x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
    """Return the sum over sorted axes, with an error that hardly grows with the number of terms.

    NumPy sums in pairs only along the axis whose elements are neighbours in memory. Along every other axis it adds row
    after row: in float32, 20 million ones would make 16,777,216. CuPy sums in a tree along any axis.
    """
    count = math.prod([x.shape[axis] for axis in axes])
    if count <= SHORT or not isinstance(x, np.ndarray):
        return x.sum(axis=axes, keepdims=keepdims)
    sums, rest = x, axes
    while rest and not _are_neighbours(sums, rest):
        sums, rest = _sum_of_rows(sums, rest[0]), rest[1:]
    sums = sums.sum(axis=rest, keepdims=True)
    return sums if keepdims else sums.squeeze(axes)


def _are_neighbours(x: Array, axes: tuple[int, ...]) -> bool:
    """Return whether the elements of x along the axes are neighbours in memory."""
    is_last, is_first = axes[0] == x.ndim - len(axes), axes[-1] == len(axes) - 1
    return (is_last and x.flags.c_contiguous) or (is_first and x.flags.f_contiguous)


def _sum_of_rows(x: Array, axis: int) -> Array:
    """Return the sum along one axis, which keeps size 1: each round adds runs, about ROWS of them, to one run."""
    before = (slice(None),) * axis
    while (size := x.shape[axis]) > SHORT:
        run = size // ROWS
        whole = size - size % run
        runs = x[(*before, slice(whole))].reshape(*x.shape[:axis], whole // run, run, *x.shape[axis + 1 :])
        sums = runs.sum(axis=axis)
        sums[(*before, slice(size - whole))] += x[(*before, slice(whole, None))]
        x = sums
    return x.sum(axis=axis, keepdims=True)
