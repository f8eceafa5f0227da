"""The official CIFAR archives: what each is called, what it holds, and how a file of it is read as bytes.

Source of names, layouts and checksums: https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError

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


def read_bytes(name: str, path: Path) -> bytes:
    """Return a file of an unpacked archive. Raises DataError if it is missing, unreadable or far too large."""
    if not path.is_file():  # nor a pipe or a device, which would be read for ever
        raise DataError(f"{name}: {path} is missing from the archive")
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise DataError(f"{name}: {path} has {size} bytes, expected at most {MAX_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{name}: cannot read {path}: {error.strerror or error}") from error
