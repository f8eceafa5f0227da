"""minisk.data: what a data set is, how one is loaded by name, and the drawn shapes."""

import numpy as np
import pytest
from data_samples import dataset_with, make_tree

from minisk.data import SHAPES, load_dataset, make_shapes, shapes
from minisk.errors import DataError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((2, 3, 4, 4), np.float32)}, r"images are float32 \(2, 3, 4, 4\)"),
        ({"images": np.zeros((2, 1, 4, 4), np.uint8)}, r"images are uint8 \(2, 1, 4, 4\)"),
        ({"images": np.zeros((2, 3, 4), np.uint8)}, r"images are uint8 \(2, 3, 4\)"),
        ({"images": np.zeros((0, 3, 4, 4), np.uint8), "labels": np.arange(0)}, "no images"),
        ({"labels": np.array([0, 1], np.int32)}, r"labels are int32 \(2,\), expected int64 \(2,\)"),
        ({"labels": np.array([0, 1, 1])}, r"labels are int64 \(3,\)"),
        ({"labels": np.array([0, 2])}, "labels run from 0 to 2, expected 0 to 1"),
        ({"labels": np.array([-1, 1])}, "labels run from -1 to 1"),
    ],
)
def test_a_dataset_refuses_arrays_that_do_not_fit(changes, message):
    with pytest.raises(DataError, match=message):
        dataset_with(**changes)


def test_a_subset_keeps_order_and_names():
    whole = dataset_with()
    whole.images[1] = 9
    part = whole.subset([1, 0, 1])
    assert part.labels.tolist() == [1, 0, 1]
    assert part.images[:, 0, 0, 0].tolist() == [9, 0, 9]
    assert (len(part), part.classes, part.name) == (3, ("a", "b"), "toy")
    with pytest.raises(DataError, match="no images"):
        whole.subset([])


def test_mean_std_counts_every_pixel_once():
    # More images than one counting step takes (1,024), and a last step that is not full.
    images = np.random.default_rng(0).integers(256, size=(2500, 3, 2, 3), dtype=np.uint8)
    images[:, 1] //= 3
    mean, std = dataset_with(images=images, labels=np.zeros(2500, np.int64)).mean_std()
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std(axis=(0, 2, 3)), rtol=1e-12)


# --- load_dataset ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "split", "size_limit", "message"),
    [
        ("mnist", "train", None, "unknown data set 'mnist', expected one of shapes, shapes_varied, cifar10"),
        ("shapes", "valid", None, "unknown split 'valid'"),
        ("cifar10", "valid", None, "unknown split 'valid'"),
        ("shapes", "train", 0, "size_limit is 0"),
        ("cifar10", "train", None, "no folder was given"),
    ],
)
def test_load_dataset_says_what_it_does_not_know(name, split, size_limit, message):
    with pytest.raises(DataError, match=message):
        load_dataset(name, None, split, size_limit=size_limit)


def test_a_size_limit_is_spread_evenly_over_an_image_tree(tmp_path):
    make_tree(tmp_path, "train", {"cat": 6, "dog": 6, "elk": 6})
    assert load_dataset("cifar10", tmp_path, "train", size_limit=6).labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert len(load_dataset("cifar10", tmp_path, "train", size_limit=100)) == 18


# --- shapes ---------------------------------------------------------------------------------------------


def test_shapes_are_the_same_bits_however_many_are_drawn():
    many = make_shapes(600, seed=3)  # two full blocks and a cut one
    again = make_shapes(600, seed=3)
    few = make_shapes(300, seed=3)
    np.testing.assert_array_equal(many.images, again.images)
    for field in ("images", "labels"):
        np.testing.assert_array_equal(getattr(many, field)[:300], getattr(few, field))
    assert not np.array_equal(many.images[:256], many.images[256:512])  # no block repeats another
    assert not np.array_equal(many.images[:300], make_shapes(300, seed=4).images)


def test_shapes_holds_every_class_at_every_size(monkeypatch):
    extents, coverage = [], shapes._object_coverage

    def noting(place, labels, sizes, x, y):
        extents.append(sizes[:, 0, 0])
        return coverage(place, labels, sizes, x, y)

    monkeypatch.setattr(shapes, "_object_coverage", noting)
    dataset = make_shapes(2560, seed=0)
    every_size = np.concatenate(extents)
    assert dataset.images.shape == (2560, 3, 32, 32)
    assert dataset.classes == tuple(SHAPES)
    for label in range(10):
        sizes = every_size[dataset.labels == label]
        assert len(sizes) > 150
        assert 0.25 <= sizes.min() < 0.35
        assert 0.8 < sizes.max() <= 0.9


@pytest.mark.parametrize("size", [32, 64])
def test_sizes_are_the_extent_of_the_drawn_object(size):
    rng = np.random.default_rng(0)
    labels = np.arange(256) % 10
    extents = rng.uniform(0.25, 0.9, size=(256, 1, 1)).astype(np.float32)
    x = ((np.arange(size, dtype=np.float32) + 0.5) / size)[np.newaxis, np.newaxis]
    place = shapes._Place(*rng.uniform(0.45, 0.55, size=(2, 256, 1, 1)), rng.uniform(-0.26, 0.26, size=(256, 1, 1)))
    covered = shapes._object_coverage(place, labels, extents, x, x.transpose(0, 2, 1)) > 0.5
    rows, columns = covered.any(axis=2).sum(axis=1), covered.any(axis=1).sum(axis=1)
    drawn = np.maximum(rows, columns) / size
    # The narrowest object is a star, 0.9 by 0.95 of its square; a tilt widens a square by up to a quarter.
    slack = 2 / size
    assert (drawn >= 0.8 * extents.ravel() - slack).all()
    assert (drawn <= 1.25 * extents.ravel() + slack).all()


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("disc", (0.6, 0.6), (0.8, 0.8)),
        ("ring", (0.0, 0.75), (0.0, 0.0)),
        ("square", (0.8, 0.8), (0.0, 0.95)),
        ("frame", (0.7, 0.0), (0.3, 0.3)),
        ("triangle", (0.0, 0.9), (0.5, 0.5)),
        ("plus", (0.9, 0.0), (0.5, 0.5)),
        ("cross", (0.6, 0.6), (0.6, 0.0)),
        ("star", (0.0, 0.95), (0.0, -0.6)),
        ("crescent", (-0.7, 0.0), (0.2, 0.0)),
        ("bars", (0.0, 0.6), (0.0, 0.0)),
    ],
)
def test_a_shape_is_negative_inside_and_positive_outside(name, inside, outside):
    x, y = np.array([inside, outside, (1.5, 1.5)], np.float32).T
    distance = SHAPES[name](x, y)
    assert distance.dtype == np.float32
    assert (np.sign(distance) == [-1, 1, 1]).all()


def test_the_splits_of_shapes_differ_and_a_limit_keeps_their_beginning():
    train = load_dataset("shapes", None, "train", size_limit=300)
    test = load_dataset("shapes", None, "test", size_limit=260)
    assert (len(train), len(test)) == (300, 260)
    assert not np.array_equal(train.images[:260], test.images)
    assert len(load_dataset("shapes", None, "test")) == 2000


def test_shapes_refuses_to_draw_nothing():
    with pytest.raises(DataError, match="count is 0"):
        make_shapes(0, seed=1)
