"""The dual path networks: exact sizes, and the numbers of an independent implementation."""

import numpy as np
import pytest
from module_parity import assert_parity, randomized, torch_form
from reference_numbers import fill, images_and_labels, run_network, run_unit

import minisk as ms
from minisk import models, nn
from minisk.errors import ShapeError
from minisk.models.dpn import DualPathStage, DualPathUnit, Paths


class FirstUnits(nn.Module):
    """The first two units of a stage, (N, in_channels, H, W) → (N, bw + 4 · inc, Ho, Wo)."""

    def __init__(self, in_channels, stage, groups):
        channels = stage.residual + 3 * stage.increment
        first = DualPathUnit(in_channels, stage, groups, is_first=True)
        self.units = nn.Sequential(first, DualPathUnit(channels, stage, groups, is_first=False))

    def forward(self, x):
        return self.units(Paths(x)).joined()


def test_two_units_give_the_reference_numbers():
    units = fill(FirstUnits(64, DualPathStage(96, 256, 16, 3, 1), 32))
    assert sum(parameter.size for parameter in units.parameters()) == 112_800
    shape, norms = run_unit(units, (4, 64, 8, 8))
    assert shape == (4, 320, 8, 8)
    np.testing.assert_allclose(norms, (452.324920, 0.0165608257, 0.398529639), rtol=1e-8)


def test_one_training_step_and_one_evaluation_of_dpn92_give_the_reference_numbers():
    expected = (6.92624302, 15.6101751, 250.459960, 180.944882, 3003.29945, 58048.6766)
    np.testing.assert_allclose(run_network(fill(models.dpn92()), *images_and_labels(4, 64)), expected, rtol=1e-8)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_gradients_of_two_units_are_right(stride):
    ms.manual_seed(3)
    x = ms.tensor(np.random.default_rng(1).standard_normal((3, 2, 4, 5)))
    assert ms.gradcheck(FirstUnits(2, DualPathStage(4, 3, 1, 2, stride), 2), x).ok


def test_a_network_agrees_with_its_form_in_pytorch(torch):
    stages = (DualPathStage(6, 8, 2, 2, 1), DualPathStage(12, 8, 3, 3, 2))
    model = randomized(models.DualPathNet(5, stages, 2, 7))
    judge = torch_form(torch, model)
    assert_parity(
        torch, model, np.random.default_rng(2).standard_normal((3, 3, 23, 20)), judge, dict(judge.named_parameters())
    )


def test_images_without_three_channels_are_an_error():
    with pytest.raises(ShapeError, match=r"DualPathNet: the images are \(2, 1, 64, 64\), expected \(N, 3, H, W\)"):
        models.DualPathNet(5, [DualPathStage(6, 8, 2, 2, 1)], 2, 7)(ms.zeros((2, 1, 64, 64)))
