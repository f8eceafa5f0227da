"""Small data sets for the tests of minisk.data: arrays, archives and image folders of known content."""

import pickle
from pathlib import Path

import numpy as np
from PIL import Image

from minisk.data import ImageDataset


def numbered_dataset(count=10, side=8):
    """Return images of random pixels. Image i has label i, so the labels of a batch identify its images."""
    images = np.random.default_rng(7).integers(256, size=(count, 3, side, side), dtype=np.uint8)
    return ImageDataset(images, np.arange(count), tuple(map(str, range(count))), "numbered")


def dataset_with(**changes):
    fields = {"images": np.zeros((2, 3, 4, 4), np.uint8), "labels": np.array([0, 1]), "classes": ("a", "b")}
    return ImageDataset(**{**fields, "name": "toy", **changes})


def make_archive(parent, name="cifar10", records_per_file=2):
    """Write an archive with known pixels and labels. Return its folder and the labels of its training images."""
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


def make_tree(root, split, counts, suffix=".png"):
    """Write ``counts[class]`` images per class; image i of a class is filled with RGB (i, 100, 200)."""
    for class_name, count in counts.items():
        folder = root / split / class_name
        folder.mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (32, 32), (index, 100, 200)).save(folder / f"{index:04}{suffix}")
    return root


def assert_same_batches(some, others):
    some, others = list(some), list(others)
    assert len(some) == len(others)
    for (images, labels), (other_images, other_labels) in zip(some, others, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


def make_python_archive(parent, name="cifar10", protocol=2, records_per_file=2):
    """Write the same content as `make_archive` in the Python (pickle) version. Return its folder."""
    folder, counts, names, labels_key, classes = {
        "cifar10": ("cifar-10-batches-py", 5, "batches.meta", "labels", 10),
        "cifar100": ("cifar-100-python", 1, "meta", "fine_labels", 100),
    }[name]
    folder = parent / folder
    folder.mkdir()
    names_key = "label_names" if name == "cifar10" else "fine_label_names"
    content = {names_key: [f"class{i:02}" for i in range(classes)], "num_vis": 3072}
    (folder / names).write_bytes(pickle.dumps(content, protocol))
    train, test = ([f"data_batch_{i}" for i in range(1, 6)], "test_batch") if counts == 5 else (["train"], "test")
    labels = np.arange(counts * records_per_file) % classes
    for index, file in enumerate([*train, test]):
        first = index * records_per_file % len(labels)
        data = np.repeat([[10] * 1024 + [20] * 1024 + [30] * 1024], records_per_file, axis=0).astype(np.uint8)
        data[:, 0] = 99  # the top left red pixel
        batch = {"batch_label": file, labels_key: labels[first : first + records_per_file].tolist(), "data": data}
        (folder / file).write_bytes(pickle.dumps({**batch, "filenames": [b"a.png"] * records_per_file}, protocol))
    return folder


def snapshot(folder):
    """Map every path below a folder to its content; other things than files, and huge files, to their mode."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and path.stat().st_size < 1 << 30:
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
        else:
            found[path.relative_to(folder).as_posix()] = path.lstat().st_mode
    return found
