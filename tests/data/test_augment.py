"""Augmentations, normalisation and mixing: known answers on images small enough to check by eye."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from data_samples import numbered_dataset

from minisk.data import Augment, Mix, color_jitter, cutout, normalize, random_crop, random_mirror, standard_augment
from minisk.errors import DataError


def counting_image():
    """One image, uint8 (1, 3, 2, 3): red holds 1 … 6, green 11 … 16, blue 21 … 26."""
    return (np.arange(1, 7).reshape(2, 3) + np.array([0, 10, 20]).reshape(1, 3, 1, 1)).astype(np.uint8)


@pytest.mark.parametrize(
    ("top", "left", "red"),
    [
        (0, 0, [[0, 0, 0], [0, 1, 2]]),
        (0, 2, [[0, 0, 0], [2, 3, 0]]),
        (1, 1, [[1, 2, 3], [4, 5, 6]]),
        (2, 0, [[0, 4, 5], [0, 0, 0]]),
    ],
)
def test_a_crop_shows_the_window_at_its_offset(top, left, red):
    offsets = iter([[top], [left]])
    rng = SimpleNamespace(integers=lambda *_, **__: np.array(next(offsets)))
    out = random_crop(counting_image(), rng, padding=1)
    assert out[0, 0].tolist() == red
    padding = np.array(red) == 0
    np.testing.assert_array_equal(out[0, 1], np.where(padding, 0, np.array(red) + 10))
    np.testing.assert_array_equal(out[0, 2], np.where(padding, 0, np.array(red) + 20))


def test_each_image_of_a_batch_is_cropped_at_its_own_offset():
    image = counting_image()
    out = random_crop(np.repeat(image, 500, axis=0), np.random.default_rng(0), padding=1)
    padded = np.pad(image[0], ((0, 0), (1, 1), (1, 1)))
    windows = [padded[:, top : top + 2, left : left + 3] for top in range(3) for left in range(3)]
    counts = [(out == window).all(axis=(1, 2, 3)).sum() for window in windows]
    assert sum(counts) == 500
    assert min(counts) > 500 / 9 / 2
    assert out.dtype == np.uint8


def test_a_crop_without_padding_is_the_image():
    np.testing.assert_array_equal(random_crop(counting_image(), np.random.default_rng(0), padding=0), counting_image())


def test_a_share_of_the_sides_is_cut_out_of_the_image_at_every_offset():
    image = counting_image()
    out = random_crop(np.repeat(image, 100, axis=0), np.random.default_rng(0), padding=0, share=0.7)
    windows = [image[0, :, top : top + 1, left : left + 2] for top in range(2) for left in range(2)]
    counts = [(out == window).all(axis=(1, 2, 3)).sum() for window in windows]
    assert out.shape == (100, 3, 1, 2) and sum(counts) == 100 and min(counts) > 10
    assert random_crop(image, np.random.default_rng(0), padding=1, share=0.01).shape == (1, 3, 1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"padding": -1}, "padding is -1"), ({"share": 0}, "share 0"), ({"share": 1.1}, "share 1.1")],
)
def test_a_crop_refuses_what_is_not_a_padding(options, message):
    with pytest.raises(DataError, match=message):
        random_crop(counting_image(), np.random.default_rng(0), **options)


def test_a_mirror_reverses_the_columns_of_the_chosen_images_only():
    images = np.repeat(counting_image(), 2, axis=0)
    out = random_mirror(images, SimpleNamespace(random=lambda n: np.array([0.4, 0.6])))
    assert out[0, 0].tolist() == [[3, 2, 1], [6, 5, 4]]
    assert out[0, 2].tolist() == [[23, 22, 21], [26, 25, 24]]
    assert out[1, 0].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert images[0, 0].tolist() == [[1, 2, 3], [4, 5, 6]]  # the input is left alone


def test_the_standard_augmentation_is_a_crop_and_then_a_mirror():
    images = numbered_dataset(64).images
    out = standard_augment(images, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    np.testing.assert_array_equal(out, random_mirror(random_crop(images, rng, 4), rng))
    assert not np.array_equal(out, images)


def test_normalize_maps_bytes_to_known_floats():
    images = np.array([0, 51, 255], np.uint8).reshape(1, 3, 1, 1)
    out = normalize(images, mean=(0.5, 0.5, 0.0), std=(0.25, 0.25, 0.5))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.ravel(), [-2, -1.2, 2], rtol=1e-6)


@pytest.mark.parametrize("std", [0.0, (1.0, -1.0, 1.0), float("nan")])
def test_normalize_refuses_a_std_that_is_not_positive(std):
    with pytest.raises(DataError, match="expected positive numbers"):
        normalize(counting_image(), 0.5, std)


# --- cutout ---------------------------------------------------------------------------------------------


def centred_at(row, column):
    centres = iter([np.array([[row]]), np.array([[column]])])
    return SimpleNamespace(integers=lambda *_, **__: next(centres))


@pytest.mark.parametrize(
    ("row", "column", "size", "rows", "columns"),
    [
        (2, 3, 1, [2], [3]),
        (2, 3, 2, [1, 2], [2, 3]),
        (2, 3, 3, [1, 2, 3], [2, 3, 4]),
        (0, 5, 4, [0, 1], [3, 4, 5]),  # over the corner: only what lies inside
        (4, 0, 99, range(5), range(6)),
        (2, 3, 0, [], []),
    ],
)
def test_cutout_fills_the_square_around_its_centre(row, column, size, rows, columns):
    images = np.full((1, 3, 5, 6), 200, np.uint8)
    expected = images.copy()
    for i in rows:
        for j in columns:
            expected[0, :, i, j] = 127
    np.testing.assert_array_equal(cutout(images, centred_at(row, column), size), expected)
    assert (images == 200).all()  # the input is left alone


def test_each_image_of_a_batch_has_its_own_hole():
    out = cutout(np.zeros((400, 3, 4, 4), np.uint8), np.random.default_rng(0), 1) // 127
    assert (out.sum(axis=(2, 3)) == 1).all()  # the same pixel in each plane
    assert (out.sum(axis=0)[0] > 400 / 16 / 3).all()  # and every pixel has its turn


def test_cutout_refuses_a_negative_size():
    with pytest.raises(DataError, match="size is -1"):
        cutout(counting_image(), np.random.default_rng(0), -1)


# --- colour jitter --------------------------------------------------------------------------------------


def step_by_step(image, brightness, contrast, saturation):
    """The definition in float64, one image (3, H, W), a step at a time."""
    luma = np.array([0.299, 0.587, 0.114]).reshape(3, 1, 1)
    image = image * brightness
    mean = (image * luma).sum(axis=0).mean()
    image = mean + contrast * (image - mean)
    grey = (image * luma).sum(axis=0)
    return np.clip(grey + saturation * (image - grey), 0, 255)


def test_colour_jitter_is_brightness_then_contrast_then_saturation():
    images = np.random.default_rng(1).integers(256, size=(20, 3, 6, 5), dtype=np.uint8)
    out = color_jitter(images, np.random.default_rng(2), 0.5)
    factors = np.random.default_rng(2).uniform(0.5, 1.5, size=(3, 20))
    for image, changed, (b, c, s) in zip(images, out, factors.T, strict=True):
        assert np.abs(changed - step_by_step(image, b, c, s)).max() < 0.501  # rounded to a byte, once
    assert out.dtype == np.uint8


@pytest.mark.parametrize(
    ("factors", "pixel", "expected"),
    [
        ((2, 1, 1), (10, 20, 200), (20, 40, 255)),  # brighter, and clipped
        ((1, 0, 1), (50, 100, 150), (91, 91, 91)),  # no contrast: the mean grey, here the pixel's own
        ((1, 1, 0), (50, 100, 150), (91, 91, 91)),  # no saturation: the pixel's grey
        ((1, 1, 1), (50, 100, 150), (50, 100, 150)),
    ],
)
def test_colour_jitter_has_known_answers(factors, pixel, expected):
    images = np.array(pixel, np.uint8).reshape(1, 3, 1, 1)
    rng = SimpleNamespace(uniform=lambda *_, size: np.array(factors, float).reshape(size))
    assert color_jitter(images, rng, 1.0).ravel().tolist() == list(expected)


def test_no_jitter_is_the_image():
    images = np.random.default_rng(1).integers(256, size=(20, 3, 6, 5), dtype=np.uint8)
    np.testing.assert_array_equal(color_jitter(images, np.random.default_rng(2), 0.0), images)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_colour_jitter_refuses_a_strength_out_of_range(strength):
    with pytest.raises(DataError, match=r"strength is .*, expected 0 to 1"):
        color_jitter(counting_image(), np.random.default_rng(0), strength)


# --- Augment --------------------------------------------------------------------------------------------


def test_augment_does_its_steps_in_order_and_leaves_out_what_is_zero():
    images = numbered_dataset(64).images
    rng = np.random.default_rng(5)
    expected = random_mirror(random_crop(images, rng, 2), rng)
    expected = cutout(color_jitter(expected, rng, 0.4), rng, 3)
    every = Augment(crop_padding=2, cutout=3, jitter=0.4)
    np.testing.assert_array_equal(every(images, np.random.default_rng(5)), expected)
    assert Augment(crop_padding=0, mirror=False)(images, np.random.default_rng(5)) is images
    assert pickle.loads(pickle.dumps(every)) == every != standard_augment
    assert Augment(crop_padding=0, crop_share=0.5)(counting_image(), np.random.default_rng(5)).shape == (1, 3, 1, 1)


@pytest.mark.parametrize("options", [{"crop_padding": -1}, {"crop_share": 0}, {"cutout": -1}, {"jitter": 1.5}])
def test_augment_refuses_numbers_out_of_range(options):
    with pytest.raises(DataError, match="expected "):
        Augment(**options)(counting_image(), np.random.default_rng(0))


# --- Mix ------------------------------------------------------------------------------------------------


def one_per_class(n, side=8):
    """Image i is all i, and its label is i: the pixels show their origin."""
    images = np.repeat(np.arange(n, dtype=np.float32), 3 * side * side).reshape(n, 3, side, side)
    return images, np.arange(n)


def test_mixup_blends_images_and_targets_by_the_same_share():
    images, labels = one_per_class(10)
    mixed, targets = Mix(10, mixup=1.0)(images, labels, np.random.default_rng(3))
    assert (mixed.dtype, targets.dtype, targets.shape) == (np.float32, np.float32, (10, 10))
    assert ((targets > 0).sum(axis=1) <= 2).all()
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    # The value of an image shows its blend: Σ share of class k · k.
    np.testing.assert_allclose(mixed, np.broadcast_to((targets @ labels)[:, None, None, None], mixed.shape), rtol=1e-5)
    assert (images[3] == 3).all()  # the input is left alone


def test_cutmix_pastes_one_rectangle_and_counts_its_pixels():
    images, labels = one_per_class(10)
    for seed in range(20):  # among them rectangles over an edge
        mixed, targets = Mix(10, cutmix=1.0)(images, labels, np.random.default_rng(seed))
        for label, image, target in zip(labels, mixed, targets, strict=True):
            counts = np.bincount(image[0].astype(int).ravel(), minlength=10)
            np.testing.assert_allclose(target, counts / 64, atol=1e-6)
            pasted = image[0] != label
            rows, columns = pasted.any(axis=1).sum(), pasted.any(axis=0).sum()
            assert pasted.sum() == rows * columns
            assert (image[0] == image[1]).all() and (image[0] == image[2]).all()


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_the_share_has_the_mean_and_spread_of_its_beta_distribution(kind):
    images, labels = one_per_class(2, side=32)
    mix = Mix(2, **{kind: 2.0})
    shares = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        shares.append(mix(images, labels, rng)[1][0, 0])
    mixed = np.array([share for share in shares if share < 1])
    assert 100 < len(mixed) < 300  # in half of the batches of two, each image is blended with itself
    if kind == "mixup":  # cutmix loses what sticks out over the edge
        assert abs(mixed.mean() - 0.5) < 0.05
        assert abs(mixed.std() - np.sqrt(1 / 20)) < 0.04  # Beta(2, 2): variance 1/20
    else:
        assert mixed.mean() > 0.5


def test_with_both_each_batch_has_one_or_the_other():
    images, labels = one_per_class(10)
    kinds = set()
    for seed in range(20):
        mixed, _ = Mix(10, mixup=1.0, cutmix=1.0)(images, labels, np.random.default_rng(seed))
        kinds.add(bool((mixed == np.rint(mixed)).all()))
    assert kinds == {True, False}


def test_a_mix_of_nothing_only_spells_the_labels_out():
    images, labels = one_per_class(3)
    same, targets = Mix(4)(images, labels, np.random.default_rng(0))
    assert same is images
    assert targets.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]


def test_mix_refuses_numbers_and_labels_out_of_range():
    for options in ({"num_classes": 0}, {"mixup": -1}, {"cutmix": -0.5}, {"mixup": float("nan")}, {"cutmix": np.inf}):
        with pytest.raises(DataError, match=r"Mix\(.*\) is out of range"):
            Mix(**{"num_classes": 2, **options})
    images, labels = one_per_class(3)
    with pytest.raises(DataError, match="labels run to 2, expected 0 to 1"):
        Mix(2)(images, labels, np.random.default_rng(0))
