"""Convolution agrees with PyTorch to the second gradient."""

import pytest
from hypothesis import strategies as st
from operations import assert_operation_agrees
from parity import as_pair, distinct_inputs, draws, inputs, integer_pairs, window_sizes


@st.composite
def convolutions(draw, per_output=None):
    """Draw inputs and settings of a convolution with at least one output: grouped, dilated, strided, not square.

    per_output: the number of inputs beside x and weight, (O,) each; None for one or none.
    """
    groups = draw(st.integers(1, 3))
    inside, outside = draw(integer_pairs(1, 2))
    kernel, extra = draw(integer_pairs(1, 3)), draw(integer_pairs(0, 4))
    settings = {
        "stride": draw(window_sizes(1, 3)),
        "padding": draw(window_sizes(0, 2)),
        "dilation": draw(window_sizes(1, 2)),
        "groups": groups,
    }
    reach = [d * (k - 1) + 1 for d, k in zip(as_pair(settings["dilation"]), kernel, strict=True)]
    # The smallest image is one that the kernel just covers with its padding.
    size = [max(1, r - 2 * p) + e for r, p, e in zip(reach, as_pair(settings["padding"]), extra, strict=True)]
    x = (draw(st.integers(1, 2)), groups * inside, *size)
    weight = (groups * outside, inside, *kernel)
    count = draw(st.integers(0, 1)) if per_output is None else per_output
    return draw(inputs(x, weight, *[weight[:1]] * count)), settings


@draws(convolutions())
def test_conv2d_agrees_for_any_geometry(drawn):
    case, settings = drawn
    assert_operation_agrees("conv2d", case, **settings)


@pytest.mark.parametrize("relu", [False, True])
@draws(drawn=convolutions(per_output=2))
def test_conv2d_affine_agrees_for_any_geometry(relu, drawn):
    case, settings = drawn
    assert_operation_agrees("conv2d_affine", case, relu=relu, **settings)


@pytest.mark.parametrize(
    ("x", "weight", "settings"),
    [
        ((2, 3, 4, 5), (4, 3, 1, 1), {}),
        ((2, 3, 5, 4), (4, 3, 1, 1), {"stride": 2}),
        ((2, 3, 4, 4), (2, 3, 1, 1), {"padding": 1, "stride": (2, 3)}),
        ((2, 4, 5, 5), (4, 1, 3, 3), {"groups": 4, "padding": 1}),
        ((2, 2, 5, 5), (6, 1, 3, 3), {"groups": 2, "stride": 2}),
        ((1, 8, 4, 4), (8, 2, 3, 3), {"groups": 4, "padding": 2, "dilation": 2}),
        ((1, 3, 15, 13), (4, 3, 7, 7), {"stride": 2, "padding": 3}),
        ((1, 2, 3, 3), (2, 2, 3, 3), {}),
        ((1, 1, 9, 2), (1, 1, 3, 2), {"stride": (4, 1)}),
        ((0, 4, 9, 9), (6, 2, 3, 3), {"groups": 2, "stride": 2, "padding": 1}),
        ((0, 4, 9, 9), (6, 4, 1, 1), {}),
    ],
    ids=[
        "1x1",
        "1x1 strided",
        "1x1 padded",
        "depthwise",
        "depthwise widening",
        "grouped dilated",
        "stem",
        "whole image",
        "rows no window reaches",
        "empty batch",
        "empty batch of 1x1",
    ],
)
def test_conv2d_agrees_for_the_kinds_networks_use(x, weight, settings):
    for layout in ["contiguous", "transposed"]:
        assert_operation_agrees("conv2d", distinct_inputs((x, weight, weight[:1]), layout=layout), **settings)
