"""SKResNet: exact sizes, and its unit against the formula written out."""

import numpy as np
import pytest

import minisk as ms
from minisk import models, nn, ops
from minisk.analysis.summary import summarize
from minisk.errors import ShapeError
from minisk.models import SKBasicUnit, SKConv


@pytest.mark.parametrize(
    ("name", "parameters", "squeezes"), [("skresnet18", 11_958_056, 8), ("skresnet34", 22_282_376, 16)]
)
def test_a_network_has_the_exact_size_of_its_source(name, parameters, squeezes):
    with nn.init.skipped():
        network = models.create(name)
    assert sum(parameter.size for parameter in network.parameters()) == parameters
    widths = [module.fc1.weight.shape[:2] for module in network.modules() if isinstance(module, SKConv)]
    assert len(widths) == squeezes
    # d = max(C / 8, 16)
    assert sorted(set(widths)) == [(16, 64), (16, 128), (32, 256), (64, 512)]
    assert summarize(network, (3, 97, 97)).rows[-1].shape == (1000,)


def written_out(unit, x, stride):
    """Return the unit's output in evaluation mode, branch by branch, with operations alone."""

    def normalized(value, norm):
        mean, var, scale, shift = norm.running_mean, norm.running_var, norm.weight, norm.bias
        shaped = [part.reshape(1, -1, 1, 1) for part in (mean, var, scale, shift)]
        return (value - shaped[0]) / (shaped[1] + 1e-5) ** 0.5 * shaped[2] + shaped[3]

    middle, half = unit.middle, x.shape[1] // 2
    branches = []
    for m, dilation in enumerate((1, 2)):
        part = x[:, m * half : (m + 1) * half]
        out = ops.conv2d(part, middle.convs[m].weight, stride=stride, padding=dilation, dilation=dilation)
        branches.append(ops.relu(normalized(out, middle.norms[m])))
    pooled = (branches[0] + branches[1]).mean(axis=(2, 3)).reshape(len(x), -1, 1, 1)
    z = ops.relu(normalized(ops.conv2d(pooled, middle.fc1.weight), middle.fc1_norm))
    weights = ops.softmax(ops.conv2d(z, middle.fc2.weight).reshape(len(x), 2, -1), axis=1)
    selected = sum(weights[:, m].reshape(len(x), -1, 1, 1) * branch for m, branch in enumerate(branches))
    out = normalized(ops.conv2d(selected, unit.increase.weight, padding=1), unit.increase_norm)
    if unit.project is not None:
        x = normalized(ops.conv2d(x, unit.project.weight, stride=stride), unit.project_norm)
    return ops.relu(out + x)


# A shape that stays, one with stride and other channels, one with other channels alone.
@pytest.mark.parametrize(("inputs", "width", "stride"), [(8, 8, 1), (8, 12, 2), (6, 8, 1)])
def test_a_unit_equals_its_formula(inputs, width, stride):
    draw = np.random.default_rng(0)
    unit = SKBasicUnit(inputs, width, width, stride).to(dtype="float64").eval()
    for name, value in unit.state_dict().items():
        drawn = draw.standard_normal(value.shape)
        value.data[...] = np.abs(drawn) + 0.5 if name.endswith("var") else drawn
    x = ms.tensor(draw.standard_normal((3, inputs, 7, 9)))
    found, expected = unit(x), written_out(unit, x, stride)
    assert found.shape == (3, width, -(-7 // stride), -(-9 // stride))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=0, atol=1e-12 * np.abs(expected.numpy()).max())
    assert (unit.project is None) == (inputs == width and stride == 1)


def test_the_gradients_of_a_unit_agree_with_differences():
    unit = SKBasicUnit(4, 6, 6, 2).to(dtype="float64")
    x = ms.tensor(np.random.default_rng(1).standard_normal((3, 4, 5, 5)), requires_grad=True)
    ms.gradcheck(unit, x)


def test_branches_that_cannot_divide_the_input_are_an_error():
    with pytest.raises(ShapeError, match="SKConv: 7 input channels can't be divided among 2 branches"):
        SKConv(8, in_channels=7, split_input=True)
