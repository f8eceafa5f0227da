"""The views of an image: enlarged, blurred by the same filter, drawn larger; boxes of objects."""

import numpy as np
import pytest
from photographs import jpeg, photograph
from PIL import Image

from minisk.analysis.attention import ImageFiles, ImageStrips, StripView, box_areas, conditions_for
from minisk.analysis.attention.study import views_of_data, views_of_files
from minisk.analysis.attention.views import check_scales
from minisk.data import ImageDataset
from minisk.errors import ArgumentError, DataError

# The views are: original, enlarged 2×, blurred 2×.
CONDITIONS = conditions_for([2.0])
NOISE = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)


def views(image, size, share=1.0):
    view = StripView(size, CONDITIONS, share)
    strip = view.cut(image, view.box(*image.size, np.random.default_rng(0)))
    return strip.reshape(3, size, size, 3)


def resized(image, size):
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def inner(pixels):
    """Leave out the border, where the filter also sees pixels beside the box."""
    return pixels[4:-4, 4:-4]


def test_the_enlarged_view_is_the_central_square_of_half_the_side_resized():
    image = Image.fromarray(NOISE)
    original, enlarged, _ = views(image, 32)
    np.testing.assert_array_equal(inner(original), inner(resized(image.crop((16, 0, 112, 96)), 32)))
    np.testing.assert_array_equal(inner(enlarged), inner(resized(image.crop((40, 24, 88, 72)), 32)))


def test_the_original_view_shows_a_share_of_the_shorter_side():
    middle = Image.fromarray(NOISE).crop((40, 24, 88, 72))
    original, *_ = views(Image.fromarray(NOISE), 32, share=0.5)
    np.testing.assert_array_equal(inner(original), inner(resized(middle, 32)))


def test_a_photograph_with_enough_pixels_is_not_blurred_when_it_is_enlarged():
    original, _, blurred = views(Image.fromarray(NOISE), 48)  # half of 96 pixels are the 48 of the view
    np.testing.assert_array_equal(blurred, original)


def test_the_blurred_view_has_the_pixels_of_the_enlarged_one_and_its_filter():
    image = Image.fromarray(NOISE[:32, :32])
    _, enlarged, blurred = views(image, 32)
    np.testing.assert_array_equal(blurred, resized(Image.fromarray(resized(image, 16)), 32))
    np.testing.assert_array_equal(inner(enlarged), inner(resized(image.crop((8, 8, 24, 24)), 32)))


def test_strips_of_images_in_memory_stack_their_views_and_those_drawn():
    pixels = NOISE[:32, :32].transpose(2, 0, 1)[np.newaxis]
    images = ImageDataset(pixels, np.zeros(1, np.int64), ("noise",), "noise")
    drawn = ImageDataset(255 - pixels, images.labels, images.classes, "noise")
    conditions = conditions_for([2.0], drawn=True)
    strip, labels = ImageStrips(images, conditions, [drawn]).fetch([0])
    assert strip.shape == (1, 3, 4 * 32, 32)
    assert labels.tolist() == [0]
    np.testing.assert_array_equal(strip[0, :, :32], pixels[0])
    np.testing.assert_array_equal(strip[0, :, 96:], drawn.images[0])
    expected = views(Image.fromarray(NOISE[:32, :32]), 32)
    np.testing.assert_array_equal(strip[0, :, 32:64], expected[1].transpose(2, 0, 1))


@pytest.fixture
def folder(tmp_path):
    for name in ("cat/1.jpg", "cat/2.jpg", "dog/deep/3.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(photograph(1)))
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    return tmp_path


def test_files_and_folders_are_found_and_the_folder_is_the_class(folder):
    files = ImageFiles([folder], StripView(16, CONDITIONS))
    assert [path.name for path in files.files] == ["1.jpg", "2.jpg", "3.jpg"]
    assert files.classes == ("cat", "deep")
    assert files.labels.tolist() == [0, 0, 1]
    assert files.fetch([0, 2])[0].shape == (2, 3, 48, 16)
    assert len(views_of_files([folder / "cat" / "1.jpg", folder / "dog"], 16, [2.0]).strips) == 2
    assert len(views_of_files([folder], 16, [2.0], limit=2).strips) == 2


def test_paths_without_an_image_are_errors(folder):
    with pytest.raises(DataError, match=r"gone.jpg does not exist"):
        views_of_files([folder / "gone.jpg"], 16, [2.0])
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="no image file in"):
        views_of_files([folder / "empty"], 16, [2.0])


@pytest.mark.parametrize("scales", [[], [1.0], [0.5, 2.0], [9.0], [float("nan")]])
def test_scales_out_of_range_are_errors(scales):
    with pytest.raises(ArgumentError, match="expected numbers above 1 and up to 8"):
        check_scales(scales)


def test_scales_are_sorted_and_the_original_is_no_scale():
    assert check_scales([2, 1.5, 1, 2]) == (1.5, 2.0)


def test_boxes_give_the_area_of_each_object(tmp_path):
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("split,class,file,x0,y0,x1,y1\nval,n1,a.JPEG,0,10,63,58\nval,n2,a.JPEG,1,1,3,4\n")
    areas = box_areas(boxes, ["n1/images/a.JPEG", "n2/a.JPEG", "n2/b.JPEG"])
    np.testing.assert_array_equal(areas, [63 * 48, 6, np.nan])
    with pytest.raises(DataError, match=r"know none of the 1 images, such as n3/a.JPEG"):
        box_areas(boxes, ["n3/a.JPEG"])


@pytest.mark.parametrize("line", ["val,n1,a.JPEG,zero,1,2,3", "val,n1"])
def test_boxes_with_a_wrong_line_are_an_error(tmp_path, line):
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(f"split,class,file,x0,y0,x1,y1\n{line}\n")
    with pytest.raises(DataError, match="wrong line, expected the columns class, file"):
        box_areas(boxes, ["n1/a.JPEG"])
    with pytest.raises(DataError, match="can't be read"):
        box_areas(tmp_path / "gone.csv", ["n1/a.JPEG"])


def test_shapes_come_with_their_areas_and_room_for_the_largest_scale():
    found = views_of_data("shapes_varied", None, 64, [1.5, 2.0], limit=8)
    assert len(found.strips) == 8
    assert [condition.kind for condition in found.conditions].count("drawn") == 2
    assert (found.areas >= (0.2 * 64) ** 2).all()
    assert (found.areas <= (0.4 * 64) ** 2 + 1e-3).all()
    with pytest.raises(ArgumentError, match=r"boxes belong to photographs, .* not to cifar10"):
        views_of_data("cifar10", "gone", 32, [2.0], boxes="boxes.csv")
