"""The kept solution of exercise 8."""

import numpy as np

import minisk as ms

PREDICTION = -8


def statistics(rows):
    center = next(rows)
    count, total, squares = 1, np.zeros_like(center), np.zeros_like(center)
    for row in rows:
        centred = row - center
        total += centred
        squares += centred * centred
        count += 1
    rest = total / np.float32(count)
    return center, rest, squares / np.float32(count) - rest * rest


class Normalize(ms.Function):
    """y = (x − mean) / √(var + eps), for each column of x, (N, C)."""

    EPS = 1e-5

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x - x.mean(0)) / np.sqrt(x.var(0) + Normalize.EPS)

    @staticmethod
    def backward(ctx, dout):
        (x,) = ctx.saved_tensors
        centred = x - x.mean(0)
        inv_std = ((centred * centred).mean(0) + Normalize.EPS) ** -0.5
        y = centred * inv_std
        return inv_std * (dout - dout.mean(0) - y * (dout * y).mean(0))
