"""The optimizer's arithmetic, in place, by the kernel of sgd.cu."""

from ..device import Array
from .elementwise import BLOCK, flat_grid
from .launcher import Kernel, kernels_run_on, launch
from .twins import updates as twins

SGD_MOMENTUM = Kernel("sgd.cu", "sgd_momentum")


def sgd_momentum(
    weight: Array, grad: Array, velocity: Array, lr: float, momentum: float, weight_decay: float, nesterov: bool
) -> None:
    """One step of SGD with momentum: see the formula in twins."""
    arrays = [grad, weight, velocity]
    # Not with_twin, which would hand the kernel copies of arrays that are not contiguous.
    if not (all(array.flags.c_contiguous for array in arrays) and kernels_run_on(arrays, least=32768)):
        twins.sgd_momentum(weight, grad, velocity, lr, momentum, weight_decay, nesterov)
        return
    numbers = weight.size, lr, momentum, weight_decay, nesterov
    launch(SGD_MOMENTUM, flat_grid(weight.size), (BLOCK,), (*numbers, *arrays))
