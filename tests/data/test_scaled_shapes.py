"""Shapes whose objects are drawn larger: everything else stays as it is, pixel for pixel, and edges stay sharp."""

import numpy as np
import pytest

from minisk.data import STANDARD_SHAPES, load_dataset, make_scaled_shapes, make_shapes
from minisk.errors import DataError

SCALES = (1.0, 1.5, 2.0)
LABEL_OF_DISC = 0


@pytest.fixture(scope="module")
def scaled():
    return make_scaled_shapes(200, 7, SCALES, size=64, extents=(0.2, 0.4))


def changed(one, other):
    """Return which pixels of each image differ, (n, H, W)."""
    return (one.images != other.images).any(axis=1)


def test_the_first_scale_is_what_make_shapes_draws():
    made = make_scaled_shapes(300, 3, (1.0,))  # a full block and a cut one
    np.testing.assert_array_equal(made.images[0].images, make_shapes(300, 3).images)
    np.testing.assert_array_equal(made.images[0].labels, make_shapes(300, 3).labels)


def test_pixels_far_from_the_object_are_the_same_at_every_scale(scaled):
    differs = changed(scaled.images[0], scaled.images[2]).reshape(200, -1)
    # An object at scale 2 fills at most its square, 0.8 of the image width, tilted by 15 degrees, and one pixel more.
    widest = np.minimum(1, 2 * scaled.extents * 1.23 + 2 / 64) ** 2
    assert (differs.mean(axis=1) <= widest).all()
    assert differs.any(axis=1).all()


@pytest.mark.parametrize(("position", "scale"), [(1, 1.5), (2, 2.0)])
def test_the_object_grows_by_the_scale_and_is_not_cut_off(scaled, position, scale):
    # The extremes of the pixels that change are those of the larger object. Discs are as wide as their extent.
    discs = scaled.images[0].labels == LABEL_OF_DISC
    differs = changed(scaled.images[0], scaled.images[position])[discs]
    for image, extent in zip(differs, scaled.extents[discs], strict=True):
        rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
        for places in (rows, columns):
            assert (places.max() - places.min() + 1) / 64 == pytest.approx(scale * extent, abs=2.5 / 64)


def test_an_edge_is_as_sharp_at_every_scale(scaled):
    """The steepest step between neighbours in the part that changed is as large at scale 2 as at scale 1."""

    def steepest(dataset):
        pixels = dataset.images.astype(int)
        return np.abs(np.diff(pixels, axis=3)).max(axis=(1, 2, 3))

    small, large = steepest(scaled.images[0]), steepest(scaled.images[2])
    assert np.median(large / small) == pytest.approx(1, abs=0.1)


def test_shapes_varied_has_objects_whose_sizes_differ_by_a_factor_of_four():
    about = STANDARD_SHAPES["shapes_varied"]
    assert about.extents[1] / about.extents[0] == pytest.approx(4)
    test = load_dataset("shapes_varied", None, "test", size_limit=260)
    assert (test.name, test.images.shape) == ("shapes_varied", (260, 3, 64, 64))
    drawn = make_scaled_shapes(260, about.splits["test"][1], (1.0,), 64, about.extents)
    np.testing.assert_array_equal(drawn.images[0].images, test.images)
    assert drawn.extents.max() / drawn.extents.min() > 3.8


@pytest.mark.parametrize(
    ("scales", "extents", "problem"),
    [
        ((), (0.2, 0.4), r"scales are \[\], expected at least one"),
        ((1.0, 0.0), (0.2, 0.4), "each above 0"),
        ((1.0, 3.0), (0.2, 0.4), "largest scale 3.0, expected 0 < least <= largest <= 0.333"),
        ((1.0,), (0.5, 0.4), "0 < least <= largest <= 1"),
    ],
)
def test_scales_and_extents_that_do_not_fit_are_errors(scales, extents, problem):
    with pytest.raises(DataError, match=problem):
        make_scaled_shapes(4, 0, scales, 16, extents)
