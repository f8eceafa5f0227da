"""convolution.cu against the reference: groups, strides, dilations, paddings, kernels, and rows of many lengths."""

from __future__ import annotations

import ctypes
import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from agreement import assert_agrees, kernel_mode, needs_compiler
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minisk import kernels
from minisk.cuda import convolution_layout as layouts
from minisk.cuda.convolution_axes import AxisFields, PlanFields, forward_axes
from minisk.cuda.weight_gradient_layout import outputs_layout
from minisk.kernels import ConvGeometry
from minisk.runtime.compiler import find_compiler
from minisk.runtime.signature import PACKAGE

pytestmark = needs_compiler

# A tile has 32 (or 16, or 64) positions: less than one tile, one, two and a tail.
WIDTHS = [1, 3, 4, 7, 8, 16, 31, 32, 33, 56, 70]
MODES = {"cpu": 60, "threads": 8}


class Shape(NamedTuple):
    images: int
    groups: int
    inputs: int
    outputs: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    dtype: str = "f"

    @property
    def geometry(self) -> ConvGeometry:
        return ConvGeometry(self.stride, self.padding, self.dilation, self.groups)

    @property
    def out(self) -> tuple[int, int]:
        return self.geometry.output_size(self.size, self.kernel)

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return x, weight and dout."""
        random = np.random.default_rng(0)
        shapes = (
            (self.images, self.groups * self.inputs, *self.size),
            (self.groups * self.outputs, self.inputs, *self.kernel),
            (self.images, self.groups * self.outputs, *self.out),
        )
        x, weight, dout = (random.standard_normal(shape).astype(self.dtype) for shape in shapes)
        return x, weight, dout


def pairs(least: int, most: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(least, most), st.integers(least, most))


# 1 and 2 images are staged one by one, 8 and 48 together. Some outputs, and some inputs × taps, fill a tile in part.
SHAPES = st.builds(
    Shape,
    images=st.sampled_from([1, 2, 8, 48]),
    groups=st.sampled_from([1, 2, 3]),
    inputs=st.sampled_from([1, 3, 4, 8]),
    outputs=st.sampled_from([1, 4, 8, 13, 33]),
    size=st.tuples(st.integers(1, 9), st.sampled_from(WIDTHS)),
    kernel=pairs(1, 5),
    stride=pairs(1, 3),
    padding=pairs(0, 4),
    dilation=pairs(1, 3),
    dtype=st.sampled_from("fd"),
)


def check(mode: str, shape: Shape) -> None:
    x, weight, dout = shape.arrays()
    assert_agrees(mode, kernels.conv2d, x, weight, shape.geometry)
    assert_agrees(mode, kernels.conv2d, x, weight, shape.geometry, 3 * dout[0, :, 0, 0])
    scale, bias = dout[0, :, 0, 0], 3 * dout[0, ::-1, 0, 0]
    for relu in (False, True):
        assert_agrees(mode, kernels.conv2d_affine, x, weight, scale, bias, relu, shape.geometry)
    assert_agrees(mode, kernels.conv2d_input_grad, dout, weight, shape.geometry, x.shape)
    assert_agrees(mode, kernels.conv2d_weight_grad, x, dout, shape.geometry, weight.shape)


@pytest.mark.parametrize("mode", MODES)
def test_kernels_agree_with_the_reference(mode: str) -> None:
    @settings(max_examples=MODES[mode], derandomize=True, deadline=None, database=None)
    @given(shape=SHAPES)
    def agree(shape: Shape) -> None:
        assume(min(shape.out) > 0)
        if mode == "threads":
            assume(np.prod(shape.size) * shape.images * shape.inputs * shape.groups < 20_000)
        check(mode, shape)

    agree()


SAME = Shape(2, 2, 16, 16, (9, 16), (3, 3), (1, 1), (1, 1), (1, 1))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "shape",
    [
        SAME,
        SAME._replace(images=16, size=(4, 4), padding=(2, 2), dilation=(2, 2)),  # taps that see only padding
        SAME._replace(stride=(2, 2), size=(8, 8)),
        SAME._replace(size=(1, 40), kernel=(1, 5), padding=(0, 2)),
        SAME._replace(groups=1, kernel=(1, 1), padding=(0, 0), size=(4, 4), images=4),  # a plane is one row of 16
        SAME._replace(kernel=(1, 1), padding=(0, 0), size=(7, 7), images=4),  # the last of four rows is short
        SAME._replace(kernel=(1, 1), padding=(0, 0), size=(13, 17), images=3),
        SAME._replace(groups=1, kernel=(1, 1), padding=(0, 0), size=(13, 17), images=3),
        SAME._replace(
            groups=1, kernel=(1, 1), padding=(0, 0), size=(7, 7), images=4
        ),  # few pixels: the weight gradient is a convolution
        SAME._replace(groups=1, kernel=(1, 1), padding=(1, 2), stride=(2, 1)),  # padding larger than the kernel
        SAME._replace(kernel=(2, 2), stride=(3, 3), padding=(0, 0)),  # inputs that no output sees
        SAME._replace(kernel=(1, 1), stride=(2, 3), padding=(0, 0)),  # only single pixels
        SAME._replace(groups=1, kernel=(1, 1), stride=(2, 1), padding=(0, 0)),
        SAME._replace(stride=(2, 2), dilation=(2, 2), padding=(2, 2)),  # and every other row and column
    ],
    ids=str,
)
def test_shapes_with_a_special_path_agree_with_the_reference(mode: str, shape: Shape) -> None:
    check(mode, shape)
    check(mode, shape._replace(dtype="d"))


@pytest.mark.parametrize("images", [1, 4])
@pytest.mark.parametrize("size", [(7, 7), (14, 14), (13, 11), (3, 1)])
@pytest.mark.parametrize("for_weights", [False, True])
def test_planes_of_a_1x1_kernel_are_cut_into_full_rows_and_a_last_one(
    images: int, size: tuple[int, int], for_weights: bool
) -> None:
    axes = forward_axes(ConvGeometry((1, 1), (0, 0), (1, 1), 1), size, (1, 1))
    start = layouts.Layout(layouts.CPU, *axes, 1, 512, 512, tile_out=8, width=16, widths=2)
    layout = layouts.fit(start, images, 4, for_weights)
    assert layout is not None
    rows, columns = layout.rows.out, layout.columns.out
    assert rows * columns - layout.missing == size[0] * size[1] and 0 <= layout.missing < columns
    assert (rows, columns) == (layout.rows.size, layout.columns.size)
    if not for_weights:  # the last row, and half a tile at a row's end, cost extra
        whole_tile = 1 + layouts.WEIGHT_TIME / start.widths  # of two vectors, per column
        assert layout.work() / whole_tile <= (1.2 if images * size[0] * size[1] >= 143 else 16)


def test_several_bands_of_rows_and_slices_of_the_batch_agree_with_the_reference() -> None:
    shape = SAME._replace(images=6, groups=1, outputs=4, size=(40, 70))
    rows, columns = forward_axes(shape.geometry, shape.size, shape.kernel)
    start = layouts.Layout(layouts.CPU, rows, columns, 1, 16, 4, tile_out=4, width=16, widths=4)
    layout = layouts.fit(start, 6, 4, for_weights=True)
    assert layout is not None and layout.band < 40
    assert outputs_layout(layout, 6, 4) is None  # few outputs: correlate
    check("cpu", shape)


@pytest.mark.parametrize("mode", MODES)
def test_gradients_have_the_same_bits_in_every_run(mode: str) -> None:
    x, weight, dout = SAME.arrays()
    with kernel_mode(mode):
        for function, args in (
            (kernels.conv2d_input_grad, (dout, weight, SAME.geometry, x.shape)),
            (kernels.conv2d_weight_grad, (x, dout, SAME.geometry, weight.shape)),
        ):
            assert function(*args).tobytes() == function(*args).tobytes()


def test_a_nan_affects_only_the_outputs_that_see_it() -> None:
    shape = SAME._replace(images=16, size=(4, 4))
    x, weight, _ = shape.arrays()
    x[3, 5, 1, 2] = np.nan
    assert_agrees("cpu", kernels.conv2d, x, weight, shape.geometry)


def test_float16_is_summed_in_float32() -> None:
    x, weight, dout = (a.astype(np.float16) for a in SAME.arrays())
    with kernel_mode("threads"):
        found = kernels.conv2d_weight_grad(x, dout, SAME.geometry, weight.shape)
    with kernel_mode("numpy"):
        expected = kernels.conv2d_weight_grad(x.astype("f"), dout.astype("f"), SAME.geometry, weight.shape)
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-2)


# Groups with many outputs: the lanes of their weight gradient are outputs.
MANY = SAME._replace(inputs=3, outputs=40)
# Pointwise kernels that read x where it lies, or stage small planes. Lanes are inputs, or outputs if far fewer.
POINT = Shape(5, 1, 40, 36, (13, 11), (1, 1), (1, 1), (0, 0), (1, 1))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "shape",
    [
        MANY,
        MANY._replace(outputs=72, size=(9, 21), stride=(2, 2)),
        MANY._replace(images=8, size=(3, 4)),  # images are interleaved
        MANY._replace(groups=1, inputs=2, outputs=150, size=(7, 40), images=3),  # several shares and slices
        POINT,
        POINT._replace(images=16, size=(6, 6)),
        POINT._replace(groups=2, inputs=70, outputs=33),
        POINT._replace(inputs=160, outputs=32, images=3, size=(20, 17)),
    ],
    ids=str,
)
def test_weight_gradients_of_many_outputs_agree_with_the_reference(mode: str, shape: Shape) -> None:
    for dtype in "fd":
        x, weight, dout = shape._replace(dtype=dtype).arrays()
        assert_agrees(mode, kernels.conv2d_weight_grad, x, dout, shape.geometry, weight.shape)


@pytest.mark.parametrize("vector", [16, 32, 64])
def test_many_outputs_are_lanes_on_every_processor(vector: int) -> None:
    target = layouts.CPUS[vector]
    for shape, is_swapped, is_in_place in (
        (MANY, False, False),
        (POINT, True, True),
        (POINT._replace(images=16, size=(6, 6)), True, False),
        (POINT._replace(inputs=160, images=3, size=(20, 17)), False, True),
    ):
        axes = forward_axes(shape.geometry, shape.size, shape.kernel)
        start = layouts.Layout(target, *axes, shape.groups, shape.inputs, shape.outputs, 4, 1, 1)
        layout = outputs_layout(start, shape.images, 4)
        assert layout is not None
        assert (layout.is_swapped, layout.is_in_place) == (is_swapped, is_in_place)
        assert layout.share % layout.span == 0 and layout.padded % layout.step == 0
        assert layout.staged * 4 <= target.most_staged_for_weights
        assert 1 <= layout.slices <= layout.sets and layout.sets * layout.images == shape.images


@pytest.mark.parametrize(
    "vector, outputs, vectors",
    [(64, 256, 4), (64, 192, 4), (64, 96, 3), (64, 224, 3), (64, 70, 3), (64, 40, 3), (64, 16, None), (32, 24, 2)],
)
def test_a_tile_of_outputs_has_one_vector_less_if_more_of_the_last_one_is_filled(
    vector: int, outputs: int, vectors: int | None
) -> None:
    shape = SAME._replace(groups=1, outputs=outputs, size=(20, 17))
    axes = forward_axes(shape.geometry, shape.size, shape.kernel)
    start = layouts.Layout(layouts.CPUS[vector], *axes, 1, shape.inputs, outputs, 4, 1, 1)
    layout = outputs_layout(start, shape.images, 4)
    assert (layout and layout.vectors) == vectors  # None: too few outputs


@pytest.mark.parametrize("width, vectors", [(32, 2), (48, 3), (35, 3), (16, 2), (17, 2), (96, 3)])
def test_a_tile_has_as_many_vectors_as_rows_need(width: int, vectors: int) -> None:
    shape = SAME._replace(images=1, groups=1, inputs=16, outputs=16, size=(20, width))
    axes = forward_axes(shape.geometry, shape.size, shape.kernel)
    layout = layouts.fit(layouts.Layout(layouts.CPU, *axes, 1, 16, 16, 8, 16, 2), 1, 4, for_weights=False)
    assert layout is not None and layout.widths == vectors
    assert layouts.fit(layout, 1, 4, for_weights=True).widths == 2  # type: ignore[union-attr]
    check("cpu", shape)


def test_several_blocks_share_the_outputs_of_a_group() -> None:
    check("cpu", SAME._replace(images=1, groups=1, inputs=3, outputs=531, size=(4, 5)))


def test_many_inputs_and_few_outputs() -> None:
    shape = SAME._replace(images=1, groups=1, inputs=250, outputs=4, size=(32, 32))
    rows, columns = forward_axes(shape.geometry, shape.size, shape.kernel)
    start = layouts.Layout(layouts.CPU, rows, columns, 1, 250, 4, tile_out=4, width=16, widths=4)
    layout = layouts.fit(start, 1, 4, for_weights=True)
    assert layout is not None and outputs_layout(layout, 1, 4) is None
    check("cpu", shape)


def test_python_and_cpp_declare_the_same_fields() -> None:
    source = (PACKAGE / "convolution.cuh").read_text(encoding="utf-8")
    for name, structure in (("Axis", AxisFields), ("Plan", PlanFields)):
        assert _fields_of(source, name) == [
            (field, "int" if kind is ctypes.c_int else "Axis") for field, kind in structure._fields_
        ]


@pytest.mark.parametrize("groups", [1, 4, 16])
def test_the_number_of_threads_changes_no_bit(groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    channels = 64 // groups
    shape = Shape(16, groups, channels, channels, (9, 9), kernel=(3, 3), stride=(1, 1), padding=(1, 1), dilation=(1, 1))
    x, weight, dout = shape.arrays()

    def bits_with(threads: int) -> list[bytes]:
        monkeypatch.setattr(layouts, "launch_threads", lambda: threads)
        results = (
            kernels.conv2d(x, weight, shape.geometry),
            kernels.conv2d_input_grad(dout, weight, shape.geometry, x.shape),
            kernels.conv2d_weight_grad(x, dout, shape.geometry, weight.shape),
        )
        return [result.tobytes() for result in results]

    with kernel_mode("cpu"):
        assert bits_with(1) == bits_with(2) == bits_with(16)


@pytest.mark.parametrize("vector", [16, 32, 64, None])
def test_python_and_cpp_agree_on_the_sums_of_a_tile(vector: int | None, tmp_path: Path) -> None:
    target = layouts.GPU if vector is None else layouts.CPUS[vector]
    defines = [] if vector is None else ["-DMINISK_ONE_THREAD", f"-DMINISK_VECTOR_BYTES={vector}"]
    source = tmp_path / "sums.cpp"
    differs = f"SUMS != {target.sums[-1]} || OUT_VECTORS != {target.out_vectors}"
    source.write_text(f'#include "lanes.cuh"\n#if {differs}\n#error lanes.cuh has other tiles\n#endif\n')
    command = [*shlex.split(find_compiler()[0]), "-E", f"-DTILE_OUT={target.tile_out}", *defines]
    run = subprocess.run([*command, "-I", str(PACKAGE), str(source)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def _fields_of(source: str, struct: str) -> list[tuple[str, str]]:
    """Return name and type of each field of a C++ struct, in order."""
    match = re.search(rf"struct {struct} {{(.*?)^}};", source, re.DOTALL | re.MULTILINE)
    assert match is not None
    body = re.sub(r"//[^\n]*", "", match[1])
    return [
        (field.strip(), kind)
        for kind, names in re.findall(r"^\s*(int|Axis) ([\w, ]+);", body, re.MULTILINE)
        for field in names.split(",")
    ]
