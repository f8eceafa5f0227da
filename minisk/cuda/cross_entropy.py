"""Launch the kernels of cross_entropy.cu. logits and target (the share of each class): (N, K), C-contiguous."""

import numpy as np

from ..backend import Array, array_module
from ..runtime import Kernel, launch
from .grids import plane_block, plane_grid

CROSS_ENTROPY = Kernel("cross_entropy.cu", "cross_entropy_rows")
CROSS_ENTROPY_GRAD = Kernel("cross_entropy.cu", "cross_entropy_rows_grad")


def launch_cross_entropy(logits: Array, target: Array) -> Array:
    """Return the loss of each row, (N,); float32 for float16 logits."""
    rows, n = logits.shape
    losses = array_module(logits).empty(rows, np.promote_types(logits.dtype, np.float32))
    launch(CROSS_ENTROPY, plane_grid(rows, n)[:1], plane_block(n), (rows, n, logits, target, losses))
    return losses


def launch_cross_entropy_grad(dloss: Array, logits: Array, target: Array) -> Array:
    """Return the gradient of the logits, (N, K), from that of the mean loss, ()."""
    rows, n = logits.shape
    dlogits = array_module(logits).empty_like(logits)
    args = (rows, n, dloss, logits, target, dlogits)
    launch(CROSS_ENTROPY_GRAD, plane_grid(rows, n)[:1], plane_block(n), args)
    return dlogits
