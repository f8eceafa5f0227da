"""WeightAverage: its formula, and the exchange with the model's weights."""

import numpy as np
import pytest

from minisk import nn, optim
from minisk.errors import ArgumentError


def model():
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))


def test_the_average_follows_its_formula_for_parameters_and_running_statistics():
    network = model()
    average = optim.WeightAverage(network, 0.3)
    expected = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    for decay in (0.1, 2 / 11, 3 / 12, 0.3, 0.3):  # (1 + n) / (10 + n), at most 0.3
        for value in network.state_dict().values():
            value.data += 1
        average.update()
        for name, value in network.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * value.numpy()
    assert "1.running_mean" in expected
    for name, array in average.arrays.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-6, atol=1e-6)


def test_the_model_has_the_average_inside_the_block_and_its_weights_afterwards_even_after_an_error():
    network = model()
    average, before = optim.WeightAverage(network, 0.5), network[0].bias.numpy().copy()
    average.arrays["0.bias"][...] = 7
    with pytest.raises(KeyboardInterrupt), average.in_place():
        assert (network[0].bias.numpy() == 7).all()
        raise KeyboardInterrupt
    np.testing.assert_array_equal(network[0].bias.numpy(), before)


def test_a_decay_outside_0_to_1_and_a_list_of_tensors_are_errors():
    for decay in (-0.1, 1.1, np.nan, None):
        with pytest.raises(ArgumentError, match=f"WeightAverage: decay {decay} must be"):
            optim.WeightAverage(model(), decay)
    with pytest.raises(ArgumentError, match="WeightAverage: model is a list, expected a Module"):
        optim.WeightAverage([*model().parameters()], 0.9)


def test_a_loaded_average_is_a_copy_and_continues_at_its_update_count():
    network = model()
    first, second = optim.WeightAverage(network, 0.9), optim.WeightAverage(network, 0.9)
    first.update()
    second.load(first.arrays, first.updates)
    first.arrays["0.bias"][...] = 7
    assert second.updates == 1 and not (second.arrays["0.bias"] == 7).any()
