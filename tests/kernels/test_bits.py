"""Where kernel and reference agree to the bit, and where only to rounding. docs/kernels.md lists the first."""

import re
from pathlib import Path

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler

from minisk import kernels
from minisk.kernels import BatchStatistics, ConvGeometry, PoolWindow

WINDOW = PoolWindow((3, 3), (2, 2), (1, 1), (17, 17))
CONVOLUTION = ConvGeometry((1, 1), (1, 1), (1, 1), 1)
SIZE = (2, 16, 33, 33)  # 34,848 elements: several blocks, and a tail; above every min_size but that of elementwise.cu

# Kernel and reference do the same operations on the same elements in the same order.
TO_THE_BIT = {
    "add": lambda r: (r(), r()),
    "relu": lambda r: (r(),),
    "add_relu": lambda r: (r(), r()),
    "relu_grad": lambda r: (r(), r()),
    "channel_add": lambda r: (r(2, 16), r()),
    "channel_scale": lambda r: (r(2, 16), r()),
    "max_pool2d": lambda r: (r(), WINDOW),
    "max_pool2d_gather": lambda r: (r(), taps(r), WINDOW),
    "max_pool2d_scatter": lambda r: (r(2, 16, 17, 17), taps(r), WINDOW, SIZE),
}
# Sums are added in another order, a · b + c is one instruction with one rounding, or e^x is another approximation.
TO_ROUNDING = {
    "avg_pool2d": lambda r: (r(), WINDOW),
    "avg_pool2d_spread": lambda r: (r(2, 16, 17, 17), WINDOW, SIZE),
    "axpy": lambda r: (r(2, 16), r(), r()),
    "bilinear": lambda r: (r(), (50, 21)),
    "bilinear_adjoint": lambda r: (r(), (21, 50)),
    "channel_dot": lambda r: (r(), r()),
    "plane_mean": lambda r: (r(),),
    "select": lambda r: (r(2, 2, 16), r(), r()),
    "select_grad": lambda r: (r(), r(2, 2, 16), abs(r(2, 2, 16)), r(), r()),
    "sigmoid": lambda r: (r(),),
    "softmax": lambda r: (r(), 1),
    "log_softmax": lambda r: (r(), 1),
    "softmax_grad": lambda r: (r(), abs(r()), 1),
    "log_softmax_grad": lambda r: (r(), -abs(r()), 1),
    "cross_entropy": lambda r: (r(200, 200), abs(r(200, 200))),
    "cross_entropy_grad": lambda r: (r(1).reshape(()), r(200, 200), abs(r(200, 200))),
    "batch_norm_train": lambda r: (r(), r(16), r(16), 1e-5, True),
    "batch_norm_apply": lambda r: (r(), r(16), r(16), statistics(r), 1e-5, True),
    "batch_norm_backward": lambda r: (r(), r(), r(16), r(16), statistics(r), 1e-5, False, True),
    "batch_norm_moments": lambda r: (r(),),
    "batch_norm_gradient_sums": lambda r: (r(), r(), r(16), r(16), statistics(r), 1e-5, False),
    "batch_norm_input_grad": lambda r: (r(), r(), r(16), r(16), statistics(r), 1e-5, False, r(2, 16)),
    "conv2d": lambda r: (r(), r(16, 16, 3, 3), CONVOLUTION),
    "conv2d_affine": lambda r: (r(), r(16, 16, 3, 3), r(16), r(16), True, CONVOLUTION),
    "conv2d_input_grad": lambda r: (r(), r(16, 16, 3, 3), CONVOLUTION, SIZE),
    "conv2d_weight_grad": lambda r: (r(), r(), CONVOLUTION, (16, 16, 3, 3)),
    "sgd_momentum": lambda r: (r(), r(), r(), 0.1, 0.9, 1e-4, True),
}
WITHOUT_KERNEL = {"masked", "total"}
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, 1e-42, -1e-42]  # the last two are below float32's normal numbers


class Draw:
    """Draw arrays of one dtype, with special elements where the comparison is to the bit."""

    def __init__(self, dtype, has_special):
        self.generator, self.dtype, self.has_special = np.random.default_rng(0), dtype, has_special

    def __call__(self, *shape):
        array = self.generator.standard_normal(shape or SIZE).astype(self.dtype)
        if self.has_special:
            places = self.generator.integers(array.size, size=array.size // 20)
            array.reshape(-1)[places] = self.generator.choice(SPECIAL, len(places))
        return array


def taps(draw):
    return draw.generator.integers(9, size=(2, 16, 17, 17), dtype=np.int32)


def statistics(draw):
    return BatchStatistics(draw(16), draw(16) * 1e-3, abs(draw(16)) + 1)


def results(name, arguments, mode):
    """Return the arrays that the function returns, or those that it changes."""
    copies = [argument.copy() if isinstance(argument, np.ndarray) else argument for argument in arguments]
    with kernel_mode(mode):
        returned = getattr(kernels, name)(*copies)
    if name == "batch_norm_train":  # the mean is the sum of two numbers, which need not be those of the reference
        return [returned[0], returned[1].mean, returned[1].var]
    if returned is None:
        return [array for array in copies if isinstance(array, np.ndarray)]
    return returned if isinstance(returned, tuple) else [returned]


@needs_compiler
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", TO_THE_BIT)
def test_kernel_and_reference_agree_to_the_bit(name, dtype):
    arguments = TO_THE_BIT[name](Draw(dtype, has_special=True))
    for ours, reference in zip(results(name, arguments, "cpu"), results(name, arguments, "numpy"), strict=True):
        np.testing.assert_array_equal(ours, reference)  # the sign of a zero is not compared


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", TO_ROUNDING)
def test_kernel_and_reference_agree_to_rounding(name, dtype):
    arguments = TO_ROUNDING[name](Draw(dtype, has_special=False))
    for ours, reference in zip(results(name, arguments, "cpu"), results(name, arguments, "numpy"), strict=True):
        bound = 50 * np.finfo(dtype).eps * max(1, np.abs(reference).max())
        assert np.abs(ours - reference).max() <= bound


def test_every_function_is_in_one_list_and_the_document_names_those_that_agree_to_the_bit():
    functions = {name for name in kernels.__all__ if callable(getattr(kernels, name)) and name[0].islower()}
    functions -= {"prove", "replaced"}  # for kernels of your own
    assert functions == TO_THE_BIT.keys() | TO_ROUNDING.keys() | WITHOUT_KERNEL
    text = (Path(__file__).parents[2] / "docs/kernels.md").read_text()
    (listed,) = re.findall(r"agree to the bit:(.*?)\.", text, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", listed)) == TO_THE_BIT.keys()
