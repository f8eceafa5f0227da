"""CIFAR-10 and CIFAR-100 from disk: either official archive, unpacked, or a tree of image files.

All give the same ImageDataset, in an order that depends on the files alone. Nothing is written, and the pickles
of the Python version are read without being run. Source: https://www.cs.toronto.edu/~kriz/cifar.html
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .dataset import ImageDataset, check_split
from .image_tree import load_image_tree
from .unpickle import unpickle

SIDE = 32
_PIXEL_BYTES = 3 * SIDE * SIDE
MAX_BYTES = 256 << 20  # no archive, unpacked archive or file of one is larger; what is, is not CIFAR


@dataclass(frozen=True)
class Layout:
    """One official archive, packed and unpacked.

    archive, md5: the packed file. folder: what it unpacks to. names: the file with the class names.
    splits: the files of each split. label_bytes: of a record in the binary version, the last one counts.
    labels, label_names: the keys of the Python version.
    """

    archive: str
    md5: str
    folder: str
    names: str
    splits: dict[str, tuple[str, ...]]
    classes: int
    label_bytes: int = 0
    labels: str = ""
    label_names: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that the unpacked archive must have."""
        return (self.names, *self.splits["train"], *self.splits["test"])


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))

BINARY = {
    "cifar10": Layout(
        "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", "cifar-10-batches-bin", "batches.meta.txt",
        {"train": tuple(f"{name}.bin" for name in _BATCHES), "test": ("test_batch.bin",)}, 10, label_bytes=1,
    ),
    "cifar100": Layout(  # labels: coarse, then fine
        "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", "cifar-100-binary", "fine_label_names.txt",
        {"train": ("train.bin",), "test": ("test.bin",)}, 100, label_bytes=2,
    ),
}  # fmt: skip

PYTHON = {
    "cifar10": Layout(
        "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", "cifar-10-batches-py", "batches.meta",
        {"train": _BATCHES, "test": ("test_batch",)}, 10, labels="labels", label_names="label_names",
    ),
    "cifar100": Layout(
        "cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", "cifar-100-python", "meta",
        {"train": ("train",), "test": ("test",)}, 100, labels="fine_labels", label_names="fine_label_names",
    ),
}  # fmt: skip


def load_cifar(name: str, data_dir: str | Path, split: str) -> ImageDataset:
    """Load one split of "cifar10" or "cifar100" (its fine labels) from whichever layout is there.

    data_dir: the folder of the unpacked binary or Python archive or its parent, or a folder with
    ``train/<class>/*.png|jpg|jpeg`` and ``test/<class>/…`` of 32 by 32 images, whose class names come from
    ``train``, sorted. Returns images uint8 (N, 3, 32, 32). Raises DataError if there is none of them, or if
    a file is missing, damaged, hostile or of the wrong size.
    """
    if name not in BINARY:
        raise DataError(f"load_cifar: unknown data set {name!r}, expected one of {', '.join(BINARY)}")
    check_split(name, split)
    binary, python, root = BINARY[name], PYTHON[name], Path(data_dir)
    for layout, read in ((binary, _read_binary), (python, _read_python)):
        for folder in (root / layout.folder, root):
            if (folder / layout.names).is_file() or (folder / layout.splits[split][0]).is_file():
                images, labels, classes = read(name, layout, folder, split)
                if len(classes) != layout.classes:
                    raise DataError(
                        f"{name}: {folder / layout.names} names {len(classes)} classes, expected {layout.classes}"
                    )
                return ImageDataset(images.reshape(-1, 3, SIDE, SIDE), labels, classes, name)
    if (root / "train").is_dir():
        return load_image_tree(name, root, split, SIDE)
    raise DataError(
        f"{name}: found no data in {str(root)!r}; looked for the unpacked binary archive"
        f" ({binary.folder}/ with {binary.names} and {binary.splits[split][0]}, or those files themselves),"
        f" for the unpacked Python archive ({python.folder}/ with {python.names} and {python.splits[split][0]})"
        f" and for an image tree (train/<class>/*.png and test/<class>/*.png)"
    )


_Parts = tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]  # images (N, 3072), labels (N,), classes


def _read_binary(name: str, layout: Layout, folder: Path, split: str) -> _Parts:
    try:
        text = _read_bytes(name, folder / layout.names).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: {folder / layout.names} is not a text file of class names") from error
    classes = tuple(line.strip() for line in text.splitlines() if line.strip())
    records = np.concatenate([_read_records(name, layout, folder / file) for file in layout.splits[split]])
    labels = records[:, layout.label_bytes - 1].astype(np.int64)
    return np.ascontiguousarray(records[:, layout.label_bytes :]), labels, classes


def _read_records(name: str, layout: Layout, path: Path) -> NDArray[np.uint8]:
    """Return the file as uint8 (records, label bytes + pixel bytes), sizes and labels checked."""
    record = layout.label_bytes + _PIXEL_BYTES
    data = np.frombuffer(_read_bytes(name, path), dtype=np.uint8)
    if data.size == 0 or data.size % record:
        raise DataError(f"{name}: {path} has {data.size} bytes, expected a multiple of {record}")
    records = data.reshape(-1, record)
    _check_labels(name, layout, path, records[:, layout.label_bytes - 1])
    return records


def _read_python(name: str, layout: Layout, folder: Path, split: str) -> _Parts:
    names = _read_pickle(name, folder / layout.names).get(layout.label_names)
    if not isinstance(names, list) or not all(isinstance(one, str | bytes) for one in names):
        raise DataError(f"{name}: {folder / layout.names} has no list of names in {layout.label_names!r}")
    classes = tuple(one if isinstance(one, str) else one.decode("utf-8", "replace") for one in names)
    images, labels = zip(*(_read_batch(name, layout, folder / file) for file in layout.splits[split]), strict=True)
    return np.concatenate(images), np.concatenate(labels), classes


def _read_batch(name: str, layout: Layout, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    batch = _read_pickle(name, path)
    images, labels = batch.get("data"), batch.get(layout.labels)
    if not isinstance(images, np.ndarray) or images.ndim != 2 or images.shape[1] != _PIXEL_BYTES or not len(images):
        raise DataError(f"{name}: {path} has no array (images, {_PIXEL_BYTES}) of bytes in 'data'")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels) or len(labels) != len(images):
        raise DataError(f"{name}: {path} has no list of {len(images)} whole numbers in {layout.labels!r}")
    _check_labels(name, layout, path, np.array(labels, dtype=object))  # object: a number may be larger than int64
    return images, np.array(labels, dtype=np.int64)


def _read_pickle(name: str, path: Path) -> dict[str, Any]:
    content = unpickle(_read_bytes(name, path), f"{name}: {path}")
    if not isinstance(content, dict):
        raise DataError(f"{name}: {path} holds a {type(content).__name__}, expected a dictionary")
    return content


def _check_labels(name: str, layout: Layout, path: Path, labels: NDArray[Any]) -> None:
    wrong = np.flatnonzero((labels < 0) | (labels >= layout.classes))
    if wrong.size:
        raise DataError(
            f"{name}: {path} has label {labels[wrong[0]]} in record {wrong[0]}, expected 0 to {layout.classes - 1}"
        )


def _read_bytes(name: str, path: Path) -> bytes:
    """Return a file of an unpacked archive. Raises DataError if it is missing, unreadable or far too large."""
    if not path.is_file():  # nor a pipe or a device, which would be read for ever
        raise DataError(f"{name}: {path} is missing from the archive")
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise DataError(f"{name}: {path} has {size} bytes, expected at most {MAX_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{name}: cannot read {path}: {error.strerror or error}") from error
