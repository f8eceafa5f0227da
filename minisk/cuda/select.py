"""The select step by the kernels of select.cu, compiled for each number of branches there is."""

from __future__ import annotations

import functools

from ..device import Array, array_module
from .launcher import Kernel, launch, with_twin
from .planes import plane_block, plane_grid
from .twins import select as twins

MOST_BRANCHES = 4  # as many pointers as the kernels take; beyond, the formula does it


FORWARD = Kernel("select.cu", "select_forward", BRANCHES=2)
BACKWARD = Kernel("select.cu", "select_backward", BRANCHES=2)


@functools.cache
def _compiled_for(branches: int, kernel: Kernel) -> Kernel:
    return Kernel(kernel.path, kernel.name, BRANCHES=branches)


@with_twin(twins.select, least=8192)
def select(logits: Array, *branches: Array) -> tuple[Array, Array]:
    xp, (n, c, h, w) = array_module(logits), branches[0].shape
    if len(branches) > MOST_BRANCHES:
        return twins.select(logits, *branches)
    weights, out = xp.empty_like(logits), xp.empty_like(branches[0])
    unused = [xp.empty(1, logits.dtype)] * (MOST_BRANCHES - len(branches))
    args = (n * c, c, h * w, logits, *branches, *unused, weights, out)
    launch(_compiled_for(len(branches), FORWARD), plane_grid(n * c, h * w), plane_block(h * w), args)
    return out, weights


@with_twin(twins.select_grad, least=8192)
def select_grad(dout: Array, dweights: Array, weights: Array, *branches: Array) -> tuple[Array, ...]:
    xp, (n, c, h, w) = array_module(dout), dout.shape
    if len(branches) > MOST_BRANCHES:
        return twins.select_grad(dout, dweights, weights, *branches)
    dlogits, dbranches = xp.empty_like(weights), [xp.empty_like(branch) for branch in branches]
    unused = [xp.empty(1, dout.dtype)] * (MOST_BRANCHES - len(branches))
    args = (n * c, c, h * w, dout, dweights, weights, *branches, *unused, dlogits, *dbranches, *unused)
    grid = plane_grid(n * c, h * w)[:1]
    launch(_compiled_for(len(branches), BACKWARD), grid, plane_block(h * w), args)
    return dlogits, *dbranches
