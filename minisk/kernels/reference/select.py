"""The select step: a softmax over branches, and the branches' weighted sum.

logits, a (the weights): (N, M, C); branches, out: (N, C, H, W); dweights is the gradient that reaches a itself:

    a = softmax over m of logits        out = Σ_m a[:, m] ⊙ branch_m
    dbranch_m = a[:, m] ⊙ dout          dlogits = a · (da - Σ_m a · da),   da[n,m,c] = Σ_hw dout · branch_m + dweights

Source: Li et al., Selective Kernel Networks, CVPR 2019, section 3.1.
"""

from ...backend import Array, array_module
from .axpy import channel_dot, channel_scale
from .precision import narrow, widen
from .softmax import softmax, softmax_grad


def select(logits: Array, *branches: Array) -> tuple[Array, Array]:
    """Return out and the weights."""
    weights = softmax(widen(logits), 1)
    out = channel_scale(weights[:, 0], widen(branches[0]))
    for m, branch in enumerate(branches[1:], start=1):
        out += channel_scale(weights[:, m], widen(branch))
    return narrow(out, like=logits), narrow(weights, like=logits)


def select_grad(dout: Array, dweights: Array, weights: Array, *branches: Array) -> tuple[Array, ...]:
    """Return dlogits, then the gradient of each branch."""
    dots = array_module(dout).stack([channel_dot(widen(dout), widen(branch)) for branch in branches], axis=1)
    dbranches = [channel_scale(weights[:, m], dout) for m in range(len(branches))]
    return narrow(softmax_grad(dots + dweights, widen(weights), 1), like=weights), *dbranches
