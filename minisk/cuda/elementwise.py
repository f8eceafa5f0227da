"""ReLU, its gradient and the residual sum before it, by the kernels of elementwise.cu."""

from __future__ import annotations

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
    out = array_module(x).empty_like(x)
    launch(RELU, flat_grid(x.size), (BLOCK,), (x.size, x, out))
    return out


@with_twin(twins.add_relu, least=65536)
def add_relu(x: Array, y: Array) -> Array:
    out = array_module(x).empty_like(x)
    launch(ADD_RELU, flat_grid(x.size), (BLOCK,), (x.size, x, y, out))
    return out


@with_twin(twins.relu_grad, least=65536)
def relu_grad(dout: Array, y: Array) -> Array:
    out = array_module(y).empty_like(y)
    launch(RELU_GRAD, flat_grid(y.size), (BLOCK,), (y.size, dout, y, out))
    return out
