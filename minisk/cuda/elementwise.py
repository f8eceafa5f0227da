"""ReLU, its gradient and the residual sum before it, by the kernels of elementwise.cu."""

from ..device import Array, array_module
from .launcher import Kernel, launch, with_twin
from .twins import rows as twins

RELU, ADD_RELU, RELU_GRAD = (Kernel("elementwise.cu", name) for name in ("relu", "add_relu", "relu_grad"))

BLOCK = 256
PER_THREAD = 8  # values for each thread, before a further block helps


def flat_grid(count: int) -> tuple[int]:
    """Blocks for an array of `count` values; a kernel's loop covers what is beyond the limit."""
    return (min(65535, -(-count // (BLOCK * PER_THREAD))),)


@with_twin(twins.relu, least=65536)
def relu(x: Array) -> Array:
    return _each(RELU, x)


@with_twin(twins.add_relu, least=65536)
def add_relu(x: Array, y: Array) -> Array:
    return _each(ADD_RELU, x, y)


@with_twin(twins.relu_grad, least=65536)
def relu_grad(dout: Array, y: Array) -> Array:
    return _each(RELU_GRAD, dout, y)


def _each(kernel: Kernel, *arrays: Array) -> Array:
    out, count = array_module(arrays[0]).empty_like(arrays[0]), arrays[0].size
    launch(kernel, flat_grid(count), (BLOCK,), (count, *arrays, out))
    return out
