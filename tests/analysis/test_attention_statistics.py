"""Statistics of paired changes agree with closed forms and with complete enumeration."""

import itertools

import numpy as np
import pytest

from minisk.analysis.attention.statistics import (
    SIGNIFICANT,
    area_effects,
    bootstrap_interval,
    holm,
    paired_effects,
    sign_flip_p,
    standard_ranks,
)
from minisk.errors import ShapeError

RESAMPLES = 1999
CHANNELS = [np.full(12, 0.25)]


def effect(changes, channels=None, labels=None):
    """Return the Effect of one unit."""
    column = np.asarray(changes, float)[:, np.newaxis]
    labels = np.zeros(len(column), int) if labels is None else np.asarray(labels)
    (found,) = paired_effects(["unit"], column, CHANNELS if channels is None else [channels], labels, RESAMPLES)
    return found


def test_mean_effect_size_and_shares_are_those_of_the_formulas():
    changes = np.array([0.5, 0.1, -0.2, 0.4, 0.0, -0.1])
    found = effect(changes, labels=[0, 0, 1, 1, 2, 2])  # class means 0.3, 0.1, -0.05
    assert found.n == 6
    assert found.mean == pytest.approx(0.7 / 6)
    variance = (np.square(changes).sum() - 0.7**2 / 6) / 5
    assert found.effect_size == pytest.approx(0.7 / 6 / np.sqrt(variance))
    assert found.rising_images == 3 / 6
    assert found.rising_classes == pytest.approx(2 / 3)


def test_the_p_value_of_an_equal_rise_of_n_images_is_two_in_two_to_the_n():
    found = effect([0.25] * 5)
    # 2 of 32 sets of signs; the estimate of 1,999 sets has a standard deviation of 0.0054.
    assert found.p_images == pytest.approx(2 / 32, abs=0.022)
    assert (found.low, found.mean, found.high) == (0.25, 0.25, 0.25)


def test_a_sign_flip_p_value_is_that_of_all_sets_of_signs():
    changes = np.random.default_rng(3).normal([0.4, 0.0], size=(9, 2))
    signs = np.array(list(itertools.product([-1, 1], repeat=9)))
    exact = (np.abs(signs @ changes) >= np.abs(changes.sum(axis=0)) - 1e-12).mean(axis=0)
    assert sign_flip_p(changes, 20_000, np.random.default_rng(0)) == pytest.approx(exact, abs=0.012)


def test_nothing_changes_is_no_effect():
    found = effect(np.zeros(30), np.zeros(12))
    assert (found.mean, found.low, found.high, found.effect_size, found.p) == (0, 0, 0, 0, 1)
    assert not found.is_found


def test_the_bootstrap_interval_of_a_mean_is_that_of_the_normal_distribution():
    changes = np.random.default_rng(1).standard_normal((400, 1))
    low, high = bootstrap_interval(lambda rows: changes[rows].mean(axis=1), 400, RESAMPLES, np.random.default_rng(0))
    half = 1.96 * changes.std() / np.sqrt(400)
    assert low == pytest.approx(changes.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(changes.mean() + half, abs=0.1 * half)


def test_an_effect_of_all_images_but_in_random_directions_of_the_channels_is_not_found():
    rising = np.random.default_rng(2).normal(1, 0.1, 50)
    random_channels = np.random.default_rng(3).standard_normal(64)
    assert effect(rising, np.full(64, 1.0)).is_found
    found = effect(rising, random_channels)
    assert found.p_images < SIGNIFICANT < found.p_channels == found.p
    assert not found.is_found


def test_one_image_is_never_enough():
    assert effect([0.5], np.full(64, 0.5)).p == 1


@pytest.mark.parametrize(
    ("p", "corrected"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),  # 3 · 0.01; 2 · 0.03; the third is not below the second
        ([0.5, 0.9], [1.0, 1.0]),
        ([0.02], [0.02]),
    ],
)
def test_holm_multiplies_the_smallest_by_the_number_of_units(p, corrected):
    assert holm(np.array(p)) == pytest.approx(corrected)


def test_units_are_corrected_together():
    rng = np.random.default_rng(5)
    changes = rng.normal([0.4, 0.2, 0.0], size=(40, 3))
    channels = [np.ones(64)] * 3
    found = paired_effects(["a", "b", "c"], changes, channels, np.zeros(40, int), RESAMPLES)
    assert [each.unit for each in found] == ["a", "b", "c"]
    p = np.array([max(each.p_images, each.p_channels) for each in found])
    assert [each.p for each in found] == pytest.approx(holm(p).tolist())


def test_equal_values_share_their_rank():
    ranks = standard_ranks(np.array([3.0, 1.0, 3.0, 2.0]))  # ranks 3.5, 1, 3.5, 2
    centred = np.array([3.5, 1, 3.5, 2]) - 2.5
    assert ranks == pytest.approx(centred / np.linalg.norm(centred))
    assert standard_ranks(np.ones(3)) == pytest.approx([0, 0, 0])


@pytest.mark.parametrize(
    ("changes", "channels", "labels"),
    [((0, 1), 1, 0), ((4, 2), 1, 4), ((4, 1), 2, 4), ((4, 1), 1, 3)],
)
def test_shapes_that_do_not_fit_together_are_errors(changes, channels, labels):
    with pytest.raises(ShapeError, match="paired_effects: changes"):
        paired_effects(["unit"], np.zeros(changes), [np.zeros(4)] * channels, np.zeros(labels, int))


def test_areas_need_three_images(measurement):
    with pytest.raises(ShapeError, match="area_effects: 2 images have an area"):
        area_effects(measurement(np.zeros((4, 1, 1))), np.array([1.0, np.nan, 2.0, np.nan]))


def test_the_rank_correlation_with_the_area_is_spearmans(measurement):
    areas = np.array([4.0, 1.0, 9.0, 16.0, np.nan, 25.0])
    values = np.array([2.0, 1.0, 3.0, 5.0, 77.0, 4.0])
    (found,) = area_effects(measurement(values[:, np.newaxis, np.newaxis]), areas, RESAMPLES)
    # Spearman: 1 - 6·Σd² / (n·(n² - 1)) with rank differences 0, 0, 0, 1, 1.
    assert found.correlation == pytest.approx(1 - 6 * 2 / (5 * 24))
    assert found.n == 5
    assert found.low <= found.correlation <= found.high <= 1
