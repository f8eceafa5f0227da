"""The select step by the kernels of select.cu, compiled for each number of branches there is."""

import functools

from ..device import Array, array_module
from .launcher import Kernel, launch, with_twin
from .planes import plane_block, plane_grid
from .twins import select as twins

MOST_BRANCHES = 4  # as many pointers as the kernels take; beyond, the formula does it


@functools.cache
def _kernel(name: str, branches: int) -> Kernel:
    return Kernel("select.cu", name, BRANCHES=branches)


@with_twin(twins.select, least=8192)
def select(logits: Array, *branches: Array) -> tuple[Array, Array]:
    xp, (n, c, h, w) = array_module(logits), branches[0].shape
    if len(branches) > MOST_BRANCHES:
        return twins.select(logits, *branches)
    weights, out = xp.empty_like(logits), xp.empty_like(branches[0])
    unused = [xp.empty(1, logits.dtype)] * (MOST_BRANCHES - len(branches))
    args = (n * c, c, h * w, logits, *branches, *unused, weights, out)
    launch(_kernel("select_forward", len(branches)), plane_grid(n * c, h * w), plane_block(h * w), args)
    return out, weights


@with_twin(twins.select_grad, least=8192)
def select_grad(dout: Array, dweights: Array, weights: Array, *branches: Array) -> tuple[Array, ...]:
    xp, (n, c, h, w) = array_module(dout), dout.shape
    if len(branches) > MOST_BRANCHES:
        return twins.select_grad(dout, dweights, weights, *branches)
    dlogits, dbranches = xp.empty_like(weights), [xp.empty_like(branch) for branch in branches]
    unused = [xp.empty(1, dout.dtype)] * (MOST_BRANCHES - len(branches))
    args = (n * c, c, h * w, dout, dweights, weights, *branches, *unused, dlogits, *dbranches, *unused)
    launch(_kernel("select_backward", len(branches)), plane_grid(n * c, h * w)[:1], plane_block(h * w), args)
    return dlogits, *dbranches
