"""Chapter 9: axpy, and the fuse and select steps of a selective kernel."""

import minisk as ms
from minisk import ops


class Axpy(ms.Function):
    """out[n,c] = a[n,c] · x[n,c] + y[n,c] for planes x[n,c], y[n,c] of H × W."""

    @staticmethod
    def forward(ctx, a, x, y):
        ctx.save_for_backward(a, x)
        return a[:, :, None, None] * x + y

    @staticmethod
    def backward(ctx, dout):
        a, x = ctx.saved_tensors
        n, c = a.shape
        return (dout * x).sum((2, 3)), a.reshape(n, c, 1, 1) * dout, dout


def fuse(features, fc1, fc2):
    """Return the logits, (N, M, C), from M branches of shape (N, C, H, W)."""
    means = features[0].mean((2, 3))
    for feature in features[1:]:
        means = means + feature.mean((2, 3))
    z = ops.relu(means @ fc1)
    n, c = means.shape
    return (z @ fc2).reshape(n, len(features), c)


def select(logits, features):
    """Return the weighted sum of the branches, and the attention, (N, M, C)."""
    attention = ops.softmax(logits, axis=1)
    n, _, c = attention.shape
    out = attention[:, 0].reshape(n, c, 1, 1) * features[0]
    for m, feature in enumerate(features[1:], start=1):
        out = Axpy.apply(attention[:, m], feature, out)
    return out, attention
