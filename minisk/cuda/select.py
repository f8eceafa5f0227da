"""Launch the kernels of select.cu: a softmax over branches and their weighted sum.

logits, weights: (N, M, C); each of the M branches: (N, C, H, W); all C-contiguous, M at most MOST_BRANCHES.
"""

from collections.abc import Sequence
from functools import cache

from ..backend import Array, array_module
from ..runtime import Kernel, launch
from .grids import plane_block, plane_grid

MOST_BRANCHES = 4  # pointers that the kernels take


def launch_select(logits: Array, branches: Sequence[Array]) -> tuple[Array, Array]:
    """Return the weighted sum, (N, C, H, W), and the weights, (N, M, C)."""
    n, c, h, w = branches[0].shape
    xp = array_module(logits)
    weights, out = xp.empty_like(logits), xp.empty_like(branches[0])
    unused = [xp.empty(1, logits.dtype)] * (MOST_BRANCHES - len(branches))
    args = (n * c, c, h * w, logits, *branches, *unused, weights, out)
    launch(_kernel("select_forward", len(branches)), plane_grid(n * c, h * w), plane_block(h * w), args)
    return out, weights


def launch_select_grad(
    dout: Array, dweights: Array, weights: Array, branches: Sequence[Array]
) -> tuple[Array, list[Array]]:
    """Return the gradient of the logits, (N, M, C), and that of each branch, (N, C, H, W)."""
    n, c, h, w = dout.shape
    xp = array_module(dout)
    dlogits, dbranches = xp.empty_like(weights), [xp.empty_like(branch) for branch in branches]
    unused = [xp.empty(1, dout.dtype)] * (MOST_BRANCHES - len(branches))
    args = (n * c, c, h * w, dout, dweights, weights, *branches, *unused, dlogits, *dbranches, *unused)
    launch(_kernel("select_backward", len(branches)), plane_grid(n * c, h * w)[:1], plane_block(h * w), args)
    return dlogits, dbranches


@cache
def _kernel(name: str, branches: int) -> Kernel:
    return Kernel("select.cu", name, BRANCHES=branches)
