"""CIFAR from disk: the binary and the Python archive, unpacked, and image trees."""

import pickle

import numpy as np
import pytest
from data_samples import make_archive, make_python_archive, make_tree
from PIL import Image

from minisk.data import load_cifar
from minisk.data.unpickle import unpickle
from minisk.errors import DataError


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


def test_a_missing_folder_is_an_error_that_names_both_layouts(tmp_path):
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
def test_a_cut_archive_file_is_an_error_that_names_its_size(tmp_path, size):
    folder, _ = make_archive(tmp_path)
    (folder / "data_batch_2.bin").write_bytes(bytes(size))
    with pytest.raises(DataError, match=rf"data_batch_2.bin has {size} bytes, expected a multiple of 3073"):
        load_cifar("cifar10", tmp_path, "train")


@pytest.mark.parametrize(
    ("name", "file", "offset"), [("cifar10", "test_batch.bin", 3073), ("cifar100", "test.bin", 3075)]
)
def test_a_label_out_of_range_is_an_error_that_names_its_record(tmp_path, name, file, offset):
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


# --- Python archive -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3, 4])  # of Python 2 on the official site; of those who saved it again
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_python_archive_holds_what_the_binary_one_holds(tmp_path, name, protocol):
    make_archive(tmp_path, name)
    (tmp_path / "python").mkdir()
    folder = make_python_archive(tmp_path / "python", name, protocol)
    for data_dir in (folder, folder.parent):
        for split in ("train", "test"):
            binary, python = load_cifar(name, tmp_path, split), load_cifar(name, data_dir, split)
            np.testing.assert_array_equal(python.images, binary.images)
            np.testing.assert_array_equal(python.labels, binary.labels)
            assert (python.classes, python.name) == (binary.classes, name)


# As Python 2.7's cPickle wrote it: strings of bytes, numpy.core, and a dtype that is filled in a second step.
OF_PYTHON_2 = (
    b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87R"
    b"q\x05(K\x01K\x03K\x02\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xff"
    b"J\xff\xff\xff\xffK\x00tb%bU\x06\x00\x01\x02\x03\xfe\xfftbU\x06labelsq\x08]q\x09(K\x06M\x02\x01J\xfe\xff\xff\xff"
    b"\x8a\x01\x05eU\x04nameq\nU\x02\xc3\xa4u."
)
ROWS, COLUMNS = [[0, 1], [2, 3], [254, 255]], [[0, 3], [1, 254], [2, 255]]


@pytest.mark.parametrize(("fortran", "data"), [(b"\x89", ROWS), (b"\x88", COLUMNS)])
def test_a_pickle_of_python_2_is_read_in_either_order(fortran, data):
    content = unpickle(OF_PYTHON_2 % fortran, "it")
    assert content.pop("data").tolist() == data
    assert content == {"labels": [6, 258, -2, 5], "name": "ä".encode()}


def test_a_pickle_of_plain_things_comes_back_as_it_was():
    thing = {"a": [1, -5, 2**40, None, True, False], "b": ("", (), (1,), (1, 2, 3, 4)), "7": {"ü": b"\xff", "": {}}}
    thing["again"] = thing["a"]  # the same list twice: by the memo
    for protocol in (2, 3, 4, 5):
        assert unpickle(pickle.dumps(thing, protocol), "it") == thing


def test_missing_files_of_the_python_archive_are_named(tmp_path):
    folder = make_python_archive(tmp_path)
    (folder / "data_batch_5").unlink()
    with pytest.raises(DataError, match="data_batch_5 is missing from the archive"):
        load_cifar("cifar10", tmp_path, "train")
    assert len(load_cifar("cifar10", tmp_path, "test")) == 2


# --- image tree -----------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("mode", "colour"), [("L", 7), ("LA", (7, 9)), ("RGBA", (7, 7, 7, 9)), ("1", 1), ("CMYK", (0, 0, 0, 0))]
)
def test_images_of_other_modes_become_rgb(tmp_path, mode, colour):
    make_tree(tmp_path, "train", {"cat": 1})
    suffix = ".JPEG" if mode == "CMYK" else ".PNG"
    Image.new(mode, (32, 32), colour).save(tmp_path / "train" / "cat" / f"0001{suffix}")
    expected = {"L": 7, "LA": 246, "RGBA": 246}.get(mode, 255)  # what is transparent lies over white
    assert (load_cifar("cifar10", tmp_path, "train").images[1] == expected).all()


def test_a_palette_with_transparent_colours_lies_over_white(tmp_path):
    make_tree(tmp_path, "train", {"cat": 1})
    image = Image.new("P", (32, 32), 1)
    image.putpalette([1, 2, 3, 40, 50, 60])
    image.save(tmp_path / "train" / "cat" / "0001.png", transparency=b"\x00\x80")
    assert load_cifar("cifar10", tmp_path, "train").images[1, :, 0, 0].tolist() == [147, 152, 157]


def test_a_truncated_image_is_named(tmp_path):
    make_tree(tmp_path, "train", {"cat": 2})
    noise = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)
    broken = tmp_path / "train" / "cat" / "0001.png"
    Image.fromarray(noise).save(broken)
    whole = broken.read_bytes()
    for size in (0, 20, len(whole) // 2):  # nothing, a part of the header, a part of the pixels
        broken.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"0001\.png can't be read as an image"):
            load_cifar("cifar10", tmp_path, "train")


def test_an_image_of_another_size_is_named_with_its_size(tmp_path):
    make_tree(tmp_path, "train", {"cat": 1})
    Image.new("RGB", (33, 32)).save(tmp_path / "train" / "cat" / "wide.jpg")
    with pytest.raises(DataError, match=r"wide\.jpg is 33 by 32 pixels, expected 32 by 32"):
        load_cifar("cifar10", tmp_path, "train")


def test_an_empty_class_folder_is_named(tmp_path):
    make_tree(tmp_path, "train", {"cat": 1, "dog": 0})
    with pytest.raises(DataError, match=r"class folder .*dog has no image file"):
        load_cifar("cifar10", tmp_path, "train")


def test_a_tree_without_images_is_an_error(tmp_path):
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
