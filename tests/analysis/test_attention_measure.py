"""Attention of networks whose weights are set by hand equals the closed form; random weights show no effect."""

import numpy as np
import pytest

from minisk import models, nn
from minisk.analysis.attention import (
    ImageStrips,
    area_effects,
    comparisons_of,
    conditions_for,
    effects_of,
    measure_attention,
    selective_units,
)
from minisk.analysis.attention.measure import last_of_stages
from minisk.backend import manual_seed
from minisk.data import ImageDataset, make_scaled_shapes
from minisk.errors import DataError, MiniskError
from minisk.models.attention import SKConv
from minisk.models.sknet import ResidualNet, Stage, cifar_stem

PLAIN = {"mean": [0.0] * 3, "std": [1.0] * 3}
GAINS = np.array([0.5, 1.0, 2.0, 4.0, 1.0, 3.0, 0.25, 1.5, 2.5, 0.75])  # of the channels
CONDITIONS = conditions_for([1.5])


class Known(nn.Module):
    """One selective kernel whose attention follows from the brightness b of an image, in 0 … 1.

    Every branch is the gray image, so the squeeze is M · b. fc1 is the identity; fc2 multiplies it by m · gain / M for
    branch m. So the logits of channel c are 0, gain[c] · b, 2 · gain[c] · b, …
    """

    def __init__(self, branches):
        channels = len(GAINS)
        self.middle = SKConv(channels, branches, r=1, L=1, in_channels=3)
        for conv in self.middle.convs:
            weight = np.zeros(conv.weight.shape, np.float32)
            weight[:, :, conv.kernel_size[0] // 2, conv.kernel_size[1] // 2] = 1 / 3
            conv.weight.data[...] = weight
        for norm in (*self.middle.norms, self.middle.fc1_norm):
            norm.weight.data[...] = np.sqrt(1 + norm.eps)  # running statistics are 0 and 1: the identity
        self.middle.fc1.weight.data[...] = np.eye(channels, dtype=np.float32)[:, :, np.newaxis, np.newaxis]
        blocks = [m * np.diag(GAINS) / len(branches) for m in range(len(branches))]
        self.middle.fc2.weight.data[...] = np.concatenate(blocks)[:, :, np.newaxis, np.newaxis]

    def forward(self, x):
        return self.middle(x)


def bright_squares(sides, size=24):
    """Return images of white squares of these sides in the middle of black."""
    images = np.zeros((len(sides), 3, size, size), np.uint8)
    for image, side in zip(images, sides, strict=True):
        start = (size - side) // 2
        image[:, start : start + side, start : start + side] = 255
    labels = np.arange(len(sides)) % 2
    return ImageDataset(images, labels, ("even", "odd"), "squares")


SIDES = np.array([4, 6, 8, 10, 12, 14, 16, 18])


def brightness(strips, views):
    """Return b of each image and view, (n, V)."""
    pixels, _ = strips.fetch(np.arange(len(strips)))
    return pixels.reshape(len(strips), 3, views, -1).mean(axis=(1, 3)) / 255


def test_two_branches_equal_the_closed_form_in_every_statistic():
    strips = ImageStrips(bright_squares(SIDES), CONDITIONS)
    measured = measure_attention(Known([(3, 1, 1), (3, 2, 1)]), strips, CONDITIONS, PLAIN, keep_channels=True)
    # softmax of (0, t) differs by tanh(t / 2)
    closed = np.tanh(brightness(strips, 3)[:, :, np.newaxis] * GAINS / 2)
    assert measured.value_name == "mean of a₅ₓ₅ − a₃ₓ₃"
    np.testing.assert_allclose(measured.values[:, :, 0], closed.mean(axis=2), atol=1e-6)
    np.testing.assert_allclose(measured.channels[0], closed.mean(axis=0), atol=1e-6)
    for comparison in comparisons_of(CONDITIONS):
        after, before = (CONDITIONS.index(view) for view in (comparison.after, comparison.before))
        changes = (closed[:, after] - closed[:, before]).mean(axis=1)
        (found,) = effects_of(measured, comparison)
        assert found.mean == pytest.approx(changes.mean(), abs=1e-6)
        if comparison.name != "blur alone":  # whose changes are rounding, both in the pixels and here
            assert found.effect_size == pytest.approx(changes.mean() / changes.std(ddof=1), rel=1e-4)
            assert (found.rising_images, found.rising_classes) == (1, 1)
            assert found.low < found.mean < found.high
            # 8 images rise: 2 of 2^8 sets of signs. 10 channels rise: 2 of 2^10.
            assert found.p_images == pytest.approx(2 / 2**8, abs=0.005)
            assert found.p_channels == pytest.approx(2 / 2**10, abs=0.003)
            assert found.p == max(found.p_images, found.p_channels)
    (area,) = area_effects(measured, SIDES.astype(float) ** 2)
    assert area.correlation == pytest.approx(1)


def test_three_branches_give_the_expected_receptive_field():
    strips = ImageStrips(bright_squares(SIDES), CONDITIONS)
    measured = measure_attention(Known([(3, 1, 1), (3, 2, 1), (5, 2, 1)]), strips, CONDITIONS, PLAIN)
    logits = brightness(strips, 3)[:, :, np.newaxis, np.newaxis] * GAINS[:, np.newaxis] * np.arange(3)
    a = np.exp(logits) / np.exp(logits).sum(axis=3, keepdims=True)
    assert measured.value_name == "expected receptive field, pixels"
    np.testing.assert_allclose(measured.values[:, :, 0], (a @ [3, 5, 9]).mean(axis=2), atol=1e-5)


def test_the_order_of_the_branches_does_not_matter():
    strips = ImageStrips(bright_squares(SIDES), CONDITIONS)
    rising, falling = (
        measure_attention(Known(branches), strips, CONDITIONS, PLAIN).values
        for branches in ([(3, 1, 1), (5, 1, 1)], [(5, 1, 1), (3, 1, 1)])
    )
    np.testing.assert_allclose(rising, -falling, atol=1e-6)


def random_net(seed):
    """Return a network of two selective kernels with 16 and 32 channels."""

    def unit(inputs, width, outputs, stride, project):
        return models.SKUnit(inputs, width, outputs, stride, project, [(3, 1, 4), (3, 2, 4)], L=8)

    manual_seed(seed)
    stem = nn.Sequential(cifar_stem(8), nn.AvgPool2d(2))
    return ResidualNet(stem, 8, [Stage(16, 16, 1, 2), Stage(32, 32, 1, 2)], unit, 10)


def test_random_weights_show_an_effect_in_at_most_five_of_a_hundred_trials():
    # Over the images alone, blur has an effect in 78 % of the trials at this level. The seeds of network and
    # statistics are equal: their streams must differ all the same.
    conditions = conditions_for([1.5], drawn=True)
    made = make_scaled_shapes(12, 5, (1, 1.5), 16, (0.25, 0.6))
    strips = ImageStrips(made.images[0], conditions, made.images[1:])
    normalization = {"mean": [0.5] * 3, "std": [0.25] * 3}
    found = {comparison: 0 for comparison in comparisons_of(conditions)}
    for seed in range(100):
        measured = measure_attention(random_net(seed), strips, conditions, normalization)
        for comparison in found:
            effects = effects_of(measured, comparison, resamples=399, seed=seed)
            found[comparison] += any(effect.is_found for effect in effects)
    assert max(found.values()) <= 5


def test_units_have_the_papers_names_and_single_branches_are_left_out():
    names = [unit.name for unit in selective_units(models.create("sknet26", 10))]
    assert names == ["SK_2_1", "SK_2_2", "SK_3_1", "SK_3_2", "SK_4_1", "SK_4_2", "SK_5_1", "SK_5_2"]
    units = selective_units(random_net(0))
    assert [units[i].name for i in last_of_stages(units)] == ["SK_2_1", "SK_3_1"]
    with pytest.raises(MiniskError, match="no selective kernel with several branches"):
        selective_units(Known([(3, 1, 1)]))


class Unreadable(ImageStrips):
    """Cannot read the images at some positions."""

    def __init__(self, bad, count=20):
        super().__init__(bright_squares(np.full(count, 8)), CONDITIONS)
        self.bad = bad

    def draw(self, indices, rng):
        kept = [i for i in indices if i not in self.bad]
        drawn = super().draw(kept, rng) if kept else super().draw([0], rng)._replace(labels=np.empty(0, np.int64))
        return drawn._replace(broken=tuple((i, f"image {i} is damaged") for i in indices if i in self.bad))


def test_images_that_cannot_be_read_are_left_out_and_named():
    # 16 images are drawn at once: the last four are a batch of which nothing can be read.
    bad = [3, 16, 17, 18, 19]
    measured = measure_attention(Known([(3, 1, 1), (3, 2, 1)]), Unreadable(bad), CONDITIONS, PLAIN)
    assert measured.broken == [f"image {i} is damaged" for i in bad]
    assert measured.positions.tolist() == [i for i in range(20) if i not in bad]
    assert len(measured.values) == len(measured.labels) == 15
    with pytest.raises(DataError, match="none of 20 images can be read, the first: image 0 is damaged"):
        measure_attention(Known([(3, 1, 1), (3, 2, 1)]), Unreadable(range(20)), CONDITIONS, PLAIN)
