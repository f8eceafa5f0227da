"""Softmax, log-softmax and cross entropy by the kernels of softmax.cu."""

import math
from functools import partial
from typing import Any

from ..device import Array, array_module
from .launcher import Kernel, launch, with_twin
from .planes import plane_block, plane_grid
from .twins import rows as twins

ROWS, ROWS_GRAD = Kernel("softmax.cu", "softmax_rows"), Kernel("softmax.cu", "softmax_rows_grad")
COLUMNS, COLUMNS_GRAD = Kernel("softmax.cu", "softmax_columns"), Kernel("softmax.cu", "softmax_columns_grad")
CROSS_ENTROPY = Kernel("softmax.cu", "cross_entropy_rows")
CROSS_ENTROPY_GRAD = Kernel("softmax.cu", "cross_entropy_rows_grad")


def _along(rows: Kernel, columns: Kernel, is_log: bool, *arguments: Any) -> Array:
    """Run one of two kernels: one for a last axis, one for an axis with others behind it.

    arguments: arrays of one shape, then the axis.
    """
    *arrays, axis = arguments
    shape, out = arrays[0].shape, array_module(arrays[0]).empty_like(arrays[0])
    outer, n, inner = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    if inner == 1:
        launch(rows, plane_grid(outer, n)[:1], plane_block(n), (outer, n, is_log, *arrays, out))
    else:
        block = plane_block(inner)
        launch(columns, (outer, min(65535, -(-inner // block[0]))), block, (n, inner, is_log, *arrays, out))
    return out


softmax = with_twin(twins.softmax, least=8192)(partial(_along, ROWS, COLUMNS, False))
log_softmax = with_twin(twins.log_softmax, least=8192)(partial(_along, ROWS, COLUMNS, True))
softmax_grad = with_twin(twins.softmax_grad, least=8192)(partial(_along, ROWS_GRAD, COLUMNS_GRAD, False))
log_softmax_grad = with_twin(twins.log_softmax_grad, least=8192)(partial(_along, ROWS_GRAD, COLUMNS_GRAD, True))


@with_twin(twins.cross_entropy, least=8192)
def cross_entropy(logits: Array, wanted: Array) -> Array:
    rows, n = logits.shape
    losses = array_module(logits).empty(rows, logits.dtype)
    launch(CROSS_ENTROPY, plane_grid(rows, n)[:1], plane_block(n), (rows, n, logits, wanted, losses))
    return losses


@with_twin(twins.cross_entropy_grad, least=8192)
def cross_entropy_grad(dloss: Array, logits: Array, wanted: Array) -> Array:
    (rows, n), out = logits.shape, array_module(logits).empty_like(logits)
    launch(CROSS_ENTROPY_GRAD, plane_grid(rows, n)[:1], plane_block(n), (rows, n, dloss, logits, wanted, out))
    return out
