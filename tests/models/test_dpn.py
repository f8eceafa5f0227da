"""The dual path networks: exact sizes, and the numbers of an independent implementation."""

import numpy as np
from reference_numbers import fill, images_and_labels, run_network, run_unit

from minisk import models, nn
from minisk.models.dpn import DualPathStage, DualPathUnit, Paths


class FirstUnits(nn.Module):
    """The first two units of stage 2 of DPN-92, (N, 64, H, W) → (N, 320, H, W)."""

    def __init__(self):
        stage = DualPathStage(96, 256, 16, 3, 1)
        self.units = nn.Sequential(DualPathUnit(64, stage, 32, True), DualPathUnit(304, stage, 32, False))

    def forward(self, x):
        return self.units(Paths(x)).joined()


def test_two_units_give_the_reference_numbers():
    units = fill(FirstUnits())
    assert sum(parameter.size for parameter in units.parameters()) == 112_800
    shape, norms = run_unit(units, (4, 64, 8, 8))
    assert shape == (4, 320, 8, 8)
    np.testing.assert_allclose(norms, (452.324920, 0.0165608257, 0.398529639), rtol=1e-8)


def test_one_training_step_and_one_evaluation_of_dpn92_give_the_reference_numbers():
    expected = (6.92624302, 15.6101751, 250.459960, 180.944882, 3003.29945, 58048.6766)
    np.testing.assert_allclose(run_network(fill(models.dpn92()), *images_and_labels(4, 64)), expected, rtol=1e-8)
