"""minisk.data: what it reads, what it refuses, and that no bit depends on timing."""

import gc
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from minisk.data import (
    SHAPES,
    ImageDataset,
    Loader,
    load_cifar,
    load_dataset,
    make_batch,
    make_shapes,
    normalize,
    random_crop,
    random_mirror,
    shapes,
    standard_augment,
)
from minisk.errors import DataError

REPOSITORY = Path(__file__).parents[1]


def numbered_dataset(count=10, side=8):
    """Images of random pixels; image i has label i, so a batch's labels tell which images it should hold."""
    images = np.random.default_rng(7).integers(256, size=(count, 3, side, side), dtype=np.uint8)
    return ImageDataset(images, np.arange(count), tuple(map(str, range(count))), "numbered")


# --- ImageDataset ---------------------------------------------------------------------------------------


def dataset_with(**changes):
    fields = {"images": np.zeros((2, 3, 4, 4), np.uint8), "labels": np.array([0, 1]), "classes": ("a", "b")}
    return ImageDataset(**{**fields, "name": "toy", **changes})


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
        ({"sizes": np.zeros(3, np.float32)}, r"sizes are \(3,\), expected \(2,\)"),
    ],
)
def test_a_dataset_refuses_arrays_that_do_not_fit(changes, message):
    with pytest.raises(DataError, match=message):
        dataset_with(**changes)


def test_a_subset_keeps_order_names_and_sizes():
    whole = dataset_with(sizes=np.array([0.25, 0.5], np.float32))
    whole.images[1] = 9
    part = whole.subset([1, 0, 1])
    assert part.labels.tolist() == [1, 0, 1]
    assert part.images[:, 0, 0, 0].tolist() == [9, 0, 9]
    assert part.sizes.tolist() == [0.5, 0.25, 0.5]
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
        ("mnist", "train", None, "unknown data set 'mnist', expected one of shapes, cifar10, cifar100"),
        ("shapes", "valid", None, "unknown split 'valid'"),
        ("cifar10", "valid", None, "unknown split 'valid'"),
        ("shapes", "train", 0, "size_limit is 0"),
        ("cifar10", "train", None, "no data directory was given"),
    ],
)
def test_load_dataset_says_what_it_does_not_know(name, split, size_limit, message):
    with pytest.raises(DataError, match=message):
        load_dataset(name, None, split, size_limit=size_limit)


def test_a_size_limit_is_spread_evenly_over_an_image_tree(tmp_path):
    make_tree(tmp_path, "train", {"cat": 6, "dog": 6, "elk": 6})
    assert load_dataset("cifar10", tmp_path, "train", size_limit=6).labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert len(load_dataset("cifar10", tmp_path, "train", size_limit=100)) == 18


# --- CIFAR, binary archive ------------------------------------------------------------------------------


def make_archive(parent, name="cifar10", records_per_file=2):
    """Write an archive whose pixel bytes and labels are known; return its folder and the labels of train."""
    if name == "cifar10":
        folder, files, label_bytes, classes = "cifar-10-batches-bin", 5, 1, 10
        train, test = [f"data_batch_{i}.bin" for i in range(1, 6)], "test_batch.bin"
        names_file = "batches.meta.txt"
    else:
        folder, files, label_bytes, classes = "cifar-100-binary", 1, 2, 100
        train, test, names_file = ["train.bin"], "test.bin", "fine_label_names.txt"
    folder = parent / folder
    folder.mkdir()
    names = "\n".join(f"class{i:02}" for i in range(classes))
    (folder / names_file).write_text(names + "\n\n")  # the official file ends with an empty line
    labels = np.arange(files * records_per_file) % classes
    for index, file in enumerate([*train, test]):
        first = index * records_per_file % len(labels)
        records = np.zeros((records_per_file, label_bytes + 3072), np.uint8)
        records[:, 0] = 19  # CIFAR-100's coarse label; overwritten for CIFAR-10
        records[:, label_bytes - 1] = labels[first : first + records_per_file]
        records[:, label_bytes:] = np.repeat([10, 20, 30], 1024)
        records[:, label_bytes] = 99  # the top left red pixel
        records.tofile(folder / file)
    return folder, labels


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_binary_archive_is_read_from_its_folder_or_its_parent(tmp_path, name):
    folder, labels = make_archive(tmp_path, name)
    for data_dir in (folder, tmp_path, str(tmp_path)):
        dataset = load_cifar(name, data_dir, "train")
        assert dataset.labels.tolist() == labels.tolist()
        assert dataset.images.shape == (len(labels), 3, 32, 32)
        assert dataset.images[0, :, 0, 0].tolist() == [99, 20, 30]
        assert dataset.images[-1, :, 31, 31].tolist() == [10, 20, 30]
        assert dataset.classes[7] == "class07"
    assert len(load_cifar(name, folder, "test")) == 2


def test_a_missing_folder_is_told_with_both_layouts(tmp_path):
    with pytest.raises(DataError) as caught:
        load_cifar("cifar100", tmp_path / "nowhere", "train")
    for part in ("nowhere", "cifar-100-binary", "fine_label_names.txt", "train.bin", "train/<class>"):
        assert part in str(caught.value)


def test_a_data_set_that_is_not_cifar_is_refused(tmp_path):
    with pytest.raises(DataError, match="unknown data set 'shapes', expected one of cifar10, cifar100"):
        load_cifar("shapes", tmp_path, "train")


@pytest.mark.parametrize("missing", ["data_batch_1.bin", "data_batch_4.bin", "batches.meta.txt"])
def test_a_missing_archive_file_is_named(tmp_path, missing):
    folder, _ = make_archive(tmp_path)
    (folder / missing).unlink()
    with pytest.raises(DataError, match=f"{missing} is missing"):
        load_cifar("cifar10", tmp_path, "train")


@pytest.mark.parametrize("size", [0, 3072, 2 * 3073 - 1])
def test_a_cut_archive_file_is_told_with_its_size(tmp_path, size):
    folder, _ = make_archive(tmp_path)
    (folder / "data_batch_2.bin").write_bytes(bytes(size))
    with pytest.raises(DataError, match=rf"data_batch_2.bin has {size} bytes, expected a multiple of 3073"):
        load_cifar("cifar10", tmp_path, "train")


@pytest.mark.parametrize(
    ("name", "file", "offset"), [("cifar10", "test_batch.bin", 3073), ("cifar100", "test.bin", 3075)]
)
def test_a_label_out_of_range_is_told_with_its_record(tmp_path, name, file, offset):
    folder, _ = make_archive(tmp_path, name)
    data = bytearray((folder / file).read_bytes())
    data[offset] = 100
    (folder / file).write_bytes(data)
    with pytest.raises(DataError, match=rf"{file} has label 100 in record 1, expected 0 to \d?9"):
        load_cifar(name, tmp_path, "test")


def test_a_names_file_of_another_data_set_is_refused(tmp_path):
    folder, _ = make_archive(tmp_path)
    (folder / "batches.meta.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match="names 2 classes, expected 10"):
        load_cifar("cifar10", tmp_path, "train")


# --- CIFAR, image tree ----------------------------------------------------------------------------------


def make_tree(root, split, counts, suffix=".png"):
    """Write ``counts[class]`` images per class; image i of a class is filled with RGB (i, 100, 200)."""
    for class_name, count in counts.items():
        folder = root / split / class_name
        folder.mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (32, 32), (index, 100, 200)).save(folder / f"{index:04}{suffix}")
    return root


def test_an_image_tree_is_read_in_sorted_order(tmp_path):
    make_tree(tmp_path, "train", {"dog": 2, "cat": 3})
    make_tree(tmp_path, "test", {"dog": 1})
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "train" / "cat" / "._0000.png").write_text("what macOS leaves beside a file")
    (tmp_path / "train" / ".cache").mkdir()
    train = load_cifar("cifar10", tmp_path, "train")
    assert train.classes == ("cat", "dog")
    assert train.labels.tolist() == [0, 0, 0, 1, 1]
    assert train.images[:, 0, 5, 6].tolist() == [0, 1, 2, 0, 1]
    assert train.images[1, :, 31, 0].tolist() == [1, 100, 200]
    test = load_cifar("cifar10", tmp_path, "test")
    assert (test.classes, test.labels.tolist()) == (("cat", "dog"), [1])


@pytest.mark.parametrize(("mode", "colour"), [("L", 7), ("RGBA", (7, 7, 7, 9)), ("1", 1), ("CMYK", (0, 0, 0, 0))])
def test_images_of_other_modes_become_rgb(tmp_path, mode, colour):
    make_tree(tmp_path, "train", {"cat": 1})
    suffix = ".JPEG" if mode == "CMYK" else ".PNG"
    Image.new(mode, (32, 32), colour).save(tmp_path / "train" / "cat" / f"0001{suffix}")
    expected = 7 if mode in ("L", "RGBA") else 255
    assert (load_cifar("cifar10", tmp_path, "train").images[1] == expected).all()


def test_a_truncated_image_is_named(tmp_path):
    make_tree(tmp_path, "train", {"cat": 2})
    noise = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)
    broken = tmp_path / "train" / "cat" / "0001.png"
    Image.fromarray(noise).save(broken)
    whole = broken.read_bytes()
    for size in (0, 20, len(whole) // 2):  # nothing, a part of the header, a part of the pixels
        broken.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"cannot read image .*0001\.png"):
            load_cifar("cifar10", tmp_path, "train")


def test_an_image_of_another_size_is_named_with_its_size(tmp_path):
    make_tree(tmp_path, "train", {"cat": 1})
    Image.new("RGB", (33, 32)).save(tmp_path / "train" / "cat" / "wide.jpg")
    with pytest.raises(DataError, match=r"wide\.jpg is 33 by 32 pixels, expected 32 by 32"):
        load_cifar("cifar10", tmp_path, "train")


def test_an_empty_class_folder_is_named(tmp_path):
    make_tree(tmp_path, "train", {"cat": 1, "dog": 0})
    with pytest.raises(DataError, match=r"class folder .*dog has no png, jpg or jpeg file"):
        load_cifar("cifar10", tmp_path, "train")


def test_a_tree_without_images_is_told(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="no images"):
        load_cifar("cifar10", tmp_path, "train")
    make_tree(tmp_path, "train", {"cat": 1})
    with pytest.raises(DataError, match=r"no images, .*test has no class folder"):
        load_cifar("cifar10", tmp_path, "test")


def test_a_test_class_that_train_lacks_is_named(tmp_path):
    make_tree(tmp_path, "train", {"cat": 1})
    make_tree(tmp_path, "test", {"cat": 1, "dog": 1})
    with pytest.raises(DataError, match=r"test.dog is a class that .*train lacks"):
        load_cifar("cifar10", tmp_path, "test")


def test_an_image_tree_without_pillow_is_one_sentence(tmp_path, monkeypatch):
    make_tree(tmp_path, "train", {"cat": 1})
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match="needs Pillow"):
        load_cifar("cifar10", tmp_path, "train")


# --- shapes ---------------------------------------------------------------------------------------------


def test_shapes_are_the_same_bits_however_many_are_drawn():
    many = make_shapes(600, seed=3)  # two full blocks and a cut one
    again = make_shapes(600, seed=3)
    few = make_shapes(300, seed=3)
    np.testing.assert_array_equal(many.images, again.images)
    for field in ("images", "labels", "sizes"):
        np.testing.assert_array_equal(getattr(many, field)[:300], getattr(few, field))
    assert not np.array_equal(many.images[:256], many.images[256:512])  # no block repeats another
    assert not np.array_equal(many.images[:300], make_shapes(300, seed=4).images)


def test_shapes_holds_every_class_at_every_size():
    dataset = make_shapes(2560, seed=0)
    assert dataset.images.shape == (2560, 3, 32, 32)
    assert dataset.sizes.dtype == np.float32
    assert dataset.classes == tuple(SHAPES)
    for label in range(10):
        sizes = dataset.sizes[dataset.labels == label]
        assert len(sizes) > 150
        assert 0.25 <= sizes.min() < 0.35
        assert 0.8 < sizes.max() <= 0.9


@pytest.mark.parametrize("size", [32, 64])
def test_sizes_tell_the_extent_of_the_drawn_object(size):
    rng = np.random.default_rng(0)
    labels = np.arange(256) % 10
    extents = rng.uniform(0.25, 0.9, size=(256, 1, 1)).astype(np.float32)
    x = ((np.arange(size, dtype=np.float32) + 0.5) / size)[np.newaxis, np.newaxis]
    covered = shapes._object_coverage(rng, labels, extents, x, x.transpose(0, 2, 1)) > 0.5
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
    assert len(load_dataset("shapes", None, "test")) == 4000


def test_shapes_refuses_to_draw_nothing():
    with pytest.raises(DataError, match="count is 0"):
        make_shapes(0, seed=1)


# --- transforms -----------------------------------------------------------------------------------------


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


# --- Loader ---------------------------------------------------------------------------------------------


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name == "minisk-loader"]


@pytest.fixture(autouse=True)
def no_thread_outlives_its_test():
    yield
    assert loader_threads() == []


def assert_same_batches(some, others):
    some, others = list(some), list(others)
    assert len(some) == len(others)
    for (images, labels), (other_images, other_labels) in zip(some, others, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


def random_loader(prefetch=2, seed=1, **options):
    return Loader(
        numbered_dataset(25),
        4,
        shuffle=True,
        augment=standard_augment,
        seed=seed,
        prefetch=prefetch,
        **options,
    )


@pytest.mark.parametrize("prefetch", [1, 4, 100])
def test_prefetching_changes_no_bit(prefetch):
    assert_same_batches(random_loader(prefetch).epoch(3), random_loader(prefetch=0).epoch(3))


@pytest.mark.parametrize("start", [0, 1, 5, 6, 7])  # … the last batch, and none
@pytest.mark.parametrize("prefetch", [0, 2])
def test_starting_in_the_middle_changes_no_bit(start, prefetch):
    whole = list(random_loader(prefetch).epoch(2))
    assert_same_batches(random_loader(prefetch).epoch(2, start), whole[start:])


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own():
    def order(loader, epoch):
        return np.concatenate([labels for _, labels in loader.epoch(epoch)]).tolist()

    orders = [order(random_loader(), 0), order(random_loader(), 1), order(random_loader(seed=2), 0)]
    assert all(sorted(one) == list(range(25)) for one in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert order(Loader(numbered_dataset(), 4), 1) == list(range(10))


def test_augmentation_differs_between_epochs_and_batches():
    one_image = np.repeat(numbered_dataset(1).images, 128, axis=0)
    loader = Loader(dataset_with(images=one_image, labels=np.zeros(128, np.int64)), 64, augment=standard_augment)
    first, second = (images for images, _ in loader.epoch(0))
    other_epoch = next(loader.epoch(1))[0]
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other_epoch)


def test_the_first_batch_is_not_augmented_by_the_stream_that_orders_the_epoch():
    drawn = []

    def augment(images, rng):
        drawn.append(rng.permutation(25).tolist())
        return images

    loader = Loader(numbered_dataset(25), 25, shuffle=True, augment=augment, prefetch=0)
    (_, labels), *_ = loader.epoch(0)
    assert drawn[0] != labels.tolist()


def test_a_batch_is_its_images_normalised_and_their_labels():
    dataset = numbered_dataset()
    batches = list(Loader(dataset, 4, mean=0.5, std=(0.5, 0.25, 1.0)))
    assert [labels.tolist() for _, labels in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    images, labels = batches[2]
    assert (images.dtype, images.shape, labels.dtype) == (np.float32, (2, 3, 8, 8), np.int64)
    expected = (dataset.images[8:] / 255 - 0.5) / np.array([0.5, 0.25, 1.0]).reshape(3, 1, 1)
    np.testing.assert_allclose(images, expected, rtol=1e-5, atol=1e-6)


def test_batches_have_zero_mean_and_unit_deviation_by_default():
    ((images, _),) = Loader(numbered_dataset(), 10)
    np.testing.assert_allclose(images.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(images.std(axis=(0, 2, 3)), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("count", "drop_last", "lengths"),
    [(10, False, [4, 4, 2]), (10, True, [4, 4]), (8, False, [4, 4]), (8, True, [4, 4]), (3, True, [])],
)
def test_drop_last_leaves_out_a_batch_that_is_not_full(count, drop_last, lengths):
    loader = Loader(numbered_dataset(count), 4, drop_last=drop_last)
    assert [len(labels) for _, labels in loader] == lengths
    assert len(loader) == len(lengths)


def test_make_batch_depends_on_its_arguments_alone():
    dataset, before = numbered_dataset(), numbered_dataset()

    def batch():
        rng = np.random.default_rng(9)
        return make_batch(dataset, np.array([3, 1]), rng, standard_augment, 0.5, 0.25)

    assert_same_batches([batch()], [batch()])
    assert batch()[1].tolist() == [3, 1]
    np.testing.assert_array_equal(dataset.images, before.images)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"seed": -1}, {"prefetch": -1}])
def test_a_loader_refuses_numbers_out_of_range(options):
    with pytest.raises(DataError, match=r"Loader: .*expected at least 1, 0 and 0"):
        Loader(numbered_dataset(), **{"batch_size": 4, **options})


@pytest.mark.parametrize(("epoch", "start"), [(-1, 0), (0, -1), (0, 4)])
def test_an_epoch_refuses_numbers_out_of_range_at_once(epoch, start):
    with pytest.raises(DataError, match="expected"):
        Loader(numbered_dataset(), 4).epoch(epoch, start)


# --- the Loader's thread --------------------------------------------------------------------------------


@pytest.mark.parametrize(("prefetch", "expected"), [(0, threading.main_thread().name), (2, "minisk-loader")])
def test_batches_are_made_in_a_thread_only_when_prefetching(prefetch, expected):
    makers = set()

    def augment(images, rng):
        makers.add(threading.current_thread().name)
        return images

    list(Loader(numbered_dataset(), 4, augment=augment, prefetch=prefetch))
    assert makers == {expected}


def test_the_thread_makes_no_more_than_prefetch_batches_ahead():
    made = []

    def augment(images, rng):
        made.append(len(images))
        return images

    batches = Loader(numbered_dataset(40), 1, augment=augment, prefetch=3).epoch(0)
    for _ in range(5):
        next(batches)
    batches.close()  # waits for the thread, so the count is final
    assert 5 <= len(made) <= 5 + 3


def test_closing_an_iterator_ends_its_thread_and_the_iteration():
    batches = random_loader().epoch(0)
    next(batches)
    assert len(loader_threads()) == 1
    batches.close()
    assert loader_threads() == []
    assert list(batches) == []
    batches.close()


def test_dropping_an_iterator_ends_its_thread():
    for _ in random_loader(prefetch=3):
        break
    gc.collect()
    assert loader_threads() == []


def test_an_iterator_never_started_starts_no_thread():
    batches = random_loader().epoch(0)
    assert loader_threads() == []
    del batches


def test_two_epochs_may_run_side_by_side():
    loader = random_loader()
    pairs = list(zip(loader.epoch(0), loader.epoch(1), strict=True))
    assert_same_batches([pair[0] for pair in pairs], loader.epoch(0))
    assert_same_batches([pair[1] for pair in pairs], loader.epoch(1))


class Unlucky(Exception):
    """An exception that minisk cannot know."""


@pytest.mark.parametrize("error", [Unlucky, DataError, SystemExit])
@pytest.mark.parametrize("prefetch", [0, 1, 4])
def test_an_exception_arrives_with_its_type_when_its_batch_is_due(prefetch, error):
    made = []

    def augment(images, rng):
        made.append(1)
        if len(made) == 3:
            raise error("third batch")
        return images

    batches = Loader(numbered_dataset(), 2, augment=augment, prefetch=prefetch).epoch(0)
    assert [next(batches)[1].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(error, match="third batch"):
        next(batches)
    assert loader_threads() == []
    assert list(batches) == []


def test_an_iterator_may_be_collected_in_its_own_thread():
    # In a reference cycle, it is whichever thread happens to collect garbage that closes it.
    dropped = threading.Event()
    made = []

    def augment(images, rng):
        made.append(1)
        if len(made) == 2:
            assert dropped.wait(timeout=60)
            gc.collect()
        return images

    gc.collect()
    gc.disable()
    try:
        cycle = [Loader(numbered_dataset(), 2, augment=augment, prefetch=2).epoch(0)]
        cycle.append(cycle)
        assert next(cycle[0])[1].tolist() == [0, 1]
        (thread,) = loader_threads()
        del cycle
        dropped.set()
        thread.join(timeout=60)
        assert not thread.is_alive()
        assert len(made) == 2
    finally:
        gc.enable()


def test_an_iterator_still_open_is_stopped_before_the_interpreter_exits():
    script = (
        "import atexit, threading\n"
        "from minisk.data import Loader, make_shapes\n"
        "atexit.register(lambda: print(threading.active_count(), 'thread'))\n"  # first registered, last run
        "batches = Loader(make_shapes(64, 0), 4, prefetch=2).epoch(0)\n"
        "print(next(batches)[1].shape)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "(4,)\n1 thread\n", "")
