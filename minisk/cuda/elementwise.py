"""Launch the kernels of elementwise.cu: C-contiguous arrays of one shape, any shape."""

from ..backend import Array, array_module
from ..runtime import Kernel, launch
from .grids import BLOCK, flat_grid

ADD = Kernel("elementwise.cu", "add")
RELU = Kernel("elementwise.cu", "relu")
ADD_RELU = Kernel("elementwise.cu", "add_relu")
RELU_GRAD = Kernel("elementwise.cu", "relu_grad")
SIGMOID = Kernel("elementwise.cu", "sigmoid")


def launch_add(x: Array, y: Array) -> Array:
    """Return x + y."""
    return _launch_flat(ADD, (x, y))


def launch_relu(x: Array) -> Array:
    """Return max(x, 0)."""
    return _launch_flat(RELU, (x,))


def launch_add_relu(x: Array, y: Array) -> Array:
    """Return max(x + y, 0)."""
    return _launch_flat(ADD_RELU, (x, y))


def launch_relu_grad(dout: Array, y: Array) -> Array:
    """Return 0 where y ≤ 0, else dout."""
    return _launch_flat(RELU_GRAD, (dout, y))


def launch_sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e⁻ˣ)."""
    return _launch_flat(SIGMOID, (x,))


def _launch_flat(kernel: Kernel, inputs: tuple[Array, ...]) -> Array:
    out, count = array_module(inputs[0]).empty_like(inputs[0]), inputs[0].size
    launch(kernel, flat_grid(count), (BLOCK,), (count, *inputs, out))
    return out
