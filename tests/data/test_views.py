"""Views: which part of a photograph is cut out, and with which pixels."""

import io
import math

import numpy as np
import pytest
from photographs import jpeg, photograph
from PIL import Image

from minisk.data.decode import read_view
from minisk.data.views import CenterView, RandomResizedView
from minisk.errors import DataError

SIZES = [(60, 40), (40, 60), (33, 33), (200, 21), (32, 90)]


@pytest.mark.parametrize("share", [0.875, 1.0])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_center_view_has_the_pixels_of_resize_and_crop(width, height, share):
    content = jpeg(photograph(0, width, height))
    found = read_view("a.jpg", CenterView(28, share), np.random.default_rng(0), content)
    image, shorter = Image.open(io.BytesIO(content)), int(28 / share)
    longer = int(shorter * max(width, height) / min(width, height))
    resized = image.resize((shorter, longer) if width < height else (longer, shorter), Image.Resampling.BICUBIC)
    left, top = round((resized.width - 28) / 2), round((resized.height - 28) / 2)
    expected = np.asarray(resized.crop((left, top, left + 28, top + 28)))
    np.testing.assert_array_equal(found, expected.transpose(2, 0, 1))


def test_random_view_lies_inside_with_the_areas_and_aspects_asked_for():
    view, rng = RandomResizedView(224, least_area=0.1), np.random.default_rng(0)
    for width, height in [(500, 375), (200, 900), (1000, 31)] * 200:
        left, top, right, bottom = view.box(width, height, rng)
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        across, down = right - left, bottom - top
        if (width, height) == (500, 375):
            assert 0.09 < across * down / (width * height) <= 1
        assert 3 / 4 * 0.95 < across / down < 4 / 3 * 1.05


def test_random_view_of_a_strip_is_its_middle():
    assert RandomResizedView(8).box(1000, 9, np.random.default_rng(0)) == (494, 0, 506, 9)


def test_random_view_covers_all_areas_evenly():
    view, rng = RandomResizedView(8), np.random.default_rng(0)
    shares = []
    for _ in range(2000):
        left, top, right, bottom = view.box(1000, 1000, rng)
        shares.append((right - left) * (bottom - top) / 1e6)
    counts, _ = np.histogram(shares, bins=4, range=(0.08, 0.75))
    assert counts.min() > 0.7 * counts.max()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_box_is_one_of_the_upright_photograph(orientation):
    upright = photograph(1, 64, 48)
    turned = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # from upright to as stored: Pillow's Transpose
    stored = upright.transpose(Image.Transpose(turned[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read_view("a.jpg", RandomResizedView(16), np.random.default_rng(3), jpeg(stored, exif=exif))
    expected = read_view("a.jpg", RandomResizedView(16), np.random.default_rng(3), jpeg(upright))
    assert np.abs(found.astype(int) - expected).mean() < 3


def test_large_jpeg_is_decoded_at_a_fraction_only_for_training(monkeypatch):
    from PIL import JpegImagePlugin

    asked = []
    draft = JpegImagePlugin.JpegImageFile.draft
    monkeypatch.setattr(
        JpegImagePlugin.JpegImageFile, "draft", lambda self, mode, size: asked.append(size) or draft(self, mode, size)
    )
    content = jpeg(photograph(2, 800, 600))
    whole = RandomResizedView(64, least_area=1.0, most_aspect=4 / 3)
    small = read_view("a.jpg", whole, np.random.default_rng(0), content)
    assert asked == [(100, 75)]
    read_view("a.jpg", CenterView(64), np.random.default_rng(0), content)
    assert len(asked) == 1
    exact = np.asarray(Image.open(io.BytesIO(content)).resize((64, 64), Image.Resampling.BICUBIC))
    assert np.abs(small.astype(int) - exact.transpose(2, 0, 1)).mean() < 2


@pytest.mark.parametrize("mode", ["L", "CMYK", "P"])
def test_every_mode_becomes_rgb(mode):
    file = io.BytesIO()
    photograph(3).convert(mode).save(file, "GIF" if mode == "P" else "JPEG")
    view = read_view("a", CenterView(20), np.random.default_rng(0), file.getvalue())
    assert view.shape == (3, 20, 20)
    assert view.dtype == np.uint8


@pytest.mark.parametrize(
    ("view", "settings"),
    [(CenterView, {"size": 0}), (CenterView, {"share": 0.0}), (CenterView, {"share": 1.5})]
    + [(RandomResizedView, s) for s in ({"size": 0}, {"least_area": 0}, {"most_area": 2}, {"most_aspect": math.inf})],
)
def test_views_out_of_range_are_refused(view, settings):
    with pytest.raises(DataError, match="expected a size"):
        view(**{"size": 8, **settings})
