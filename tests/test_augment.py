"""Augmentations, normalisation and mixing: known answers on images small enough to check by eye."""

from types import SimpleNamespace

import numpy as np
import pytest
from data_samples import numbered_dataset

from minisk.data import normalize, random_crop, random_mirror, standard_augment
from minisk.errors import DataError


def counting_image():
    """One image, uint8 (1, 3, 2, 3): red holds 1 … 6, green 11 … 16, blue 21 … 26."""
    return (np.arange(1, 7).reshape(2, 3) + np.array([0, 10, 20]).reshape(1, 3, 1, 1)).astype(np.uint8)


@pytest.mark.parametrize(
    ("top", "left", "red"),
    [
        (0, 0, [[7, 7, 7], [7, 1, 2]]),
        (0, 2, [[7, 7, 7], [2, 3, 7]]),
        (1, 1, [[1, 2, 3], [4, 5, 6]]),
        (2, 0, [[7, 4, 5], [7, 7, 7]]),
    ],
)
def test_a_crop_shows_the_window_at_its_offset(top, left, red):
    rng = SimpleNamespace(integers=lambda *_, **__: np.array([[top], [left]]))
    out = random_crop(counting_image(), rng, padding=1, fill=(7, 8, 9))
    assert out[0, 0].tolist() == red
    padding = np.array(red) == 7
    np.testing.assert_array_equal(out[0, 1], np.where(padding, 8, np.array(red) + 10))
    np.testing.assert_array_equal(out[0, 2], np.where(padding, 9, np.array(red) + 20))


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": -1}, "padding is -1"),
        ({"fill": 256}, "fill is 256, expected 0 to 255"),
        ({"fill": (1, 2)}, r"fill has shape \(2,\)"),
    ],
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
    assert normalize(images, 0.5, 0.25, dtype="float64").dtype == np.float64


@pytest.mark.parametrize("std", [0.0, (1.0, -1.0, 1.0), float("nan")])
def test_normalize_refuses_a_std_that_is_not_positive(std):
    with pytest.raises(DataError, match="expected positive numbers"):
        normalize(counting_image(), 0.5, std)
