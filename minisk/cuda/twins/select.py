"""The select step: a softmax over branches, and the branches' weighted sum.

    a = softmax over m of logits        out = Σ_m a[:, m] ⊙ branch_m
    dbranch_m = a[:, m] ⊙ dout          dlogits = a · (da - Σ_m a · da),   da[n,m,c] = Σ_hw dout · branch_m + dweights

logits, a (the weights): (N, M, C); branches, out: (N, C, H, W). dweights is the gradient that reaches a itself.
"""

from ...device import Array, array_module
from . import planes
from .rows import softmax, softmax_grad


def select(logits: Array, *branches: Array) -> tuple[Array, Array]:
    """Return out and the weights."""
    weights = softmax(logits, 1)
    out = planes.channel_scale(weights[:, 0], branches[0])
    for m, branch in enumerate(branches[1:], start=1):
        out += planes.channel_scale(weights[:, m], branch)
    return out, weights


def select_grad(dout: Array, dweights: Array, weights: Array, *branches: Array) -> tuple[Array, ...]:
    """Return dlogits, then the gradient of each branch."""
    dots = array_module(dout).stack([planes.channel_dot(dout, branch) for branch in branches], axis=1)
    dbranches = [planes.channel_scale(weights[:, m], dout) for m in range(len(branches))]
    return softmax_grad(dots + dweights, weights, 1), *dbranches
