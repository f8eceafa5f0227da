"""ReLU, its gradient and the residual sum before it, by elementwise.cu; the optimizer's step, in place, by sgd.cu."""

from functools import partial

from ..device import Array, array_module
from .launcher import Kernel, kernels_run_on, launch, with_twin
from .twins import rows as twins
from .twins import updates

RELU, ADD_RELU, RELU_GRAD = (Kernel("elementwise.cu", name) for name in ("relu", "add_relu", "relu_grad"))
SGD_MOMENTUM = Kernel("sgd.cu", "sgd_momentum")

BLOCK = 256
PER_THREAD = 8  # values for each thread, before a further block helps


def flat_grid(count: int) -> tuple[int]:
    """Blocks for an array of `count` values; a kernel's loop covers what is beyond the limit."""
    return (min(65535, -(-count // (BLOCK * PER_THREAD))),)


def _each(kernel: Kernel, *arrays: Array) -> Array:
    out, count = array_module(arrays[0]).empty_like(arrays[0]), arrays[0].size
    launch(kernel, flat_grid(count), (BLOCK,), (count, *arrays, out))
    return out


relu = with_twin(twins.relu, least=65536)(partial(_each, RELU))
add_relu = with_twin(twins.add_relu, least=65536)(partial(_each, ADD_RELU))
relu_grad = with_twin(twins.relu_grad, least=65536)(partial(_each, RELU_GRAD))


def sgd_momentum(
    weight: Array, grad: Array, velocity: Array, lr: float, momentum: float, weight_decay: float, nesterov: bool
) -> None:
    """One step of SGD with momentum: see the formula in twins/updates.py."""
    arrays = [grad, weight, velocity]
    # Not with_twin, which would hand the kernel copies of arrays that are not contiguous.
    if not (all(array.flags.c_contiguous for array in arrays) and kernels_run_on(arrays, least=32768)):
        updates.sgd_momentum(weight, grad, velocity, lr, momentum, weight_decay, nesterov)
        return
    numbers = weight.size, lr, momentum, weight_decay, nesterov
    launch(SGD_MOMENTUM, flat_grid(weight.size), (BLOCK,), (*numbers, *arrays))
