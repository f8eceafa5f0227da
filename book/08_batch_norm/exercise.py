"""Exercise 8: statistics in one pass of float32, and a backward that can be differentiated again."""

import numpy as np

import minisk as ms

# Predict: near 50,000, neighbouring float32 numbers are 2^PREDICTION apart. Near 10,000 it was 2^(-10).
PREDICTION = None


def statistics(rows):
    """Return center, rest and variance of each column, (C,) float32 each; the mean is center + rest.

    rows: an iterator of float32 arrays (C,). It can be read once, and all arithmetic is in float32.
    """
    raise NotImplementedError


class Normalize(ms.Function):
    """y = (x − mean) / √(var + eps), for each column of x, (N, C)."""

    EPS = 1e-5

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x - x.mean(0)) / np.sqrt(x.var(0) + Normalize.EPS)

    @staticmethod
    def backward(ctx, dout):
        """Return dx, computed with Tensors: `x.mean(0)`, `(a * b).mean(0)` and `(v + eps) ** 0.5` are operations.

        `(x,) = ctx.saved_tensors` is the Tensor x.
        """
        raise NotImplementedError
