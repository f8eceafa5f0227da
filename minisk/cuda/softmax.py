"""Launch the kernels of softmax.cu: softmax and log-softmax along one axis of a C-contiguous array of any shape."""

import math

from ..backend import Array, array_module
from ..runtime import Kernel, launch
from .grids import MAX_GRID_Y, plane_block, plane_grid

ROWS = Kernel("softmax.cu", "softmax_rows")
ROWS_GRAD = Kernel("softmax.cu", "softmax_rows_grad")
COLUMNS = Kernel("softmax.cu", "softmax_columns")
COLUMNS_GRAD = Kernel("softmax.cu", "softmax_columns_grad")


def launch_softmax(x: Array, axis: int, is_log: bool) -> Array:
    """Return softmax(x) along the axis, or its logarithm."""
    return _launch_along(ROWS, COLUMNS, (x,), axis, is_log)


def launch_softmax_grad(dy: Array, y: Array, axis: int, is_log: bool) -> Array:
    """Return the gradient of x, from the gradient of y and y itself."""
    return _launch_along(ROWS_GRAD, COLUMNS_GRAD, (dy, y), axis, is_log)


def _launch_along(rows: Kernel, columns: Kernel, inputs: tuple[Array, ...], axis: int, is_log: bool) -> Array:
    """Launch `rows` if the elements along the axis are neighbours in memory, else `columns`."""
    shape, out = inputs[0].shape, array_module(inputs[0]).empty_like(inputs[0])
    outer, n, inner = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    if inner == 1:
        launch(rows, plane_grid(outer, n)[:1], plane_block(n), (outer, n, is_log, *inputs, out))
        return out
    block = plane_block(inner)
    tiles = min(MAX_GRID_Y, -(-inner // block[0]))
    launch(columns, (outer, tiles), block, (n, inner, is_log, *inputs, out))
    return out
