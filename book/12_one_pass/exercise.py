"""Exercise 12: launch your own select step. Complete the kernels in exercise.cu; first predict."""

import functools
from pathlib import Path

import numpy as np

from minisk.kernels import reference
from minisk.runtime import Kernel, launch

# The chain of two axpys (chapter 9) moves each element of a branch or of the result in 5 accesses: U₀ is read, out is
# written, then out and U₁ are read and out is written. How many accesses does one pass need?
PREDICTION = None

BLOCK = 64


@functools.cache
def kernel(name):
    return Kernel(Path(__file__).with_suffix(".cu"), name)


def select(logits, *branches):
    """Return the weighted sum, (N, C, H, W), and the weights, (N, 2, C); all arrays are C-contiguous."""
    if len(branches) != 2:  # the kernels know two branches
        return reference.select(logits, *branches)
    n, c, h, w = branches[0].shape
    weights, out = np.empty_like(logits), np.empty_like(branches[0])
    launch(kernel("select_forward"), (n * c,), (BLOCK,), (c, h * w, logits, *branches, weights, out))
    return out, weights


def select_grad(dout, dweights, weights, *branches):
    """Return the gradients of the logits, (N, 2, C), and of both branches, (N, C, H, W)."""
    if len(branches) != 2:
        return reference.select_grad(dout, dweights, weights, *branches)
    n, c, h, w = dout.shape
    dlogits, dx0, dx1 = (np.empty_like(array) for array in (weights, *branches))
    args = (c, h * w, dout, dweights, weights, *branches, dlogits, dx0, dx1)
    launch(kernel("select_backward"), (n * c,), (BLOCK,), args)
    return dlogits, dx0, dx1
