"""Launch the kernel of sgd.cu."""

from ..backend import Array
from ..runtime import Kernel, launch
from .grids import BLOCK, flat_grid

SGD_MOMENTUM = Kernel("sgd.cu", "sgd_momentum")


def launch_sgd_momentum(
    weight: Array, grad: Array, velocity: Array, lr: float, momentum: float, weight_decay: float, nesterov: bool
) -> None:
    """Update weight and velocity in place; the three arrays are C-contiguous and of one shape."""
    args = (weight.size, lr, momentum, weight_decay, nesterov, grad, weight, velocity)
    launch(SGD_MOMENTUM, flat_grid(weight.size), (BLOCK,), args)
