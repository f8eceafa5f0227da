"""Convolution and batch norm agree with the formulas for vectors of 16, 32 and, where the processor has them, 64 bytes.

The width of a vector is decided when a kernel is compiled. Flags that switch AVX-512 or AVX off test the narrower
ones on every x86-64 machine.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from agreement import needs_compiler

SUPPORT = Path(__file__).resolve().parents[1] / "support"
AGREE = """
import numpy as np
from agreement import assert_agrees
from minisk import kernels
from minisk.kernels import ConvGeometry

random = np.random.default_rng(0)
# images, groups, inputs and outputs of a group, size, kernel, stride, padding, dilation
for images, groups, inputs, outputs, size, kernel, stride, padding, dilation in [
    (16, 2, 16, 16, (4, 4), (3, 3), (1, 1), (2, 2), (2, 2)),  # tiles of 16 images: a vector may be shorter than that
    (2, 2, 16, 16, (9, 16), (3, 3), (1, 1), (1, 1), (1, 1)),
    (8, 1, 3, 13, (8, 33), (3, 5), (2, 1), (1, 2), (1, 1)),  # a part of a tile of outputs, rows with a tail
    (4, 1, 16, 16, (7, 7), (1, 1), (1, 1), (0, 0), (1, 1)),  # rows of pixels that are not the image's
    (3, 3, 4, 4, (13, 17), (2, 2), (3, 3), (0, 0), (1, 1)),
]:
    geometry = ConvGeometry(stride, padding, dilation, groups)
    out = geometry.output_size(size, kernel)
    for dtype in ("f", "d"):
        x = random.standard_normal((images, groups * inputs, *size)).astype(dtype)
        weight = random.standard_normal((groups * outputs, inputs, *kernel)).astype(dtype)
        dout = random.standard_normal((images, groups * outputs, *out)).astype(dtype)
        assert_agrees("cpu", kernels.conv2d, x, weight, geometry)
        assert_agrees("cpu", kernels.conv2d_input_grad, dout, weight, geometry, x.shape)
        assert_agrees("cpu", kernels.conv2d_weight_grad, x, dout, geometry, weight.shape)

for pixels in (3, 16, 49, 70):  # less than a vector, whole vectors, a tail of one element, of several
    for dtype in ("f", "d"):
        x, dout = random.standard_normal((2, 5, 3, pixels)).astype(dtype)
        weight, bias = random.standard_normal((2, 3)).astype(dtype)
        statistics = kernels.BatchStatistics(bias / 8, weight / 64, weight**2)
        assert_agrees("cpu", lambda *args: kernels.batch_norm_train(*args)[0], x, weight, bias, 1e-5, True)
        assert_agrees("cpu", kernels.batch_norm_backward, dout, x, weight, bias, statistics, 1e-5, True, True)
"""


@needs_compiler
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flags are those of x86-64")
@pytest.mark.parametrize("flags", ["", "-mno-avx512f", "-mno-avx"])
def test_kernels_agree_with_the_formulas_for_every_vector_width(flags: str) -> None:
    environment = {**os.environ, "CXXFLAGS": flags, "PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path])}
    done = subprocess.run([sys.executable, "-c", AGREE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
