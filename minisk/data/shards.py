"""Shards: photographs in tar files of WebDataset's layout, for disks that dislike many small files.

    root/train/000000.tar     n01440764_10026.jpg, n01440764_10026.cls (the label, as text), …
    root/val/000000.tar
    root/classes.txt          the classes in label order, each with its title

The headers of the tars are read once, and where each photograph lies is kept beside them (`index.json`). An epoch
shuffles the shards, then the photographs within groups of shards. So a disk reads whole shards one after the other,
and an epoch can be resumed at any batch without reading what came before.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..errors import DataError, escaped
from ..serialization import atomic_write
from .dataset import check_split
from .folder import SUFFIXES
from .image_folder import ImageFolder, split_folder
from .photos import Listing, Photos
from .views import Random, View

_CLASSES, _INDEX = "classes.txt", "index.json"
_GROUP = 4  # shards whose photographs are shuffled together
_FORMAT = 2  # of index.json


class Place(NamedTuple):
    """Where a photograph lies: the name of the tar, the number of its first byte, and its size in bytes."""

    shard: str
    start: int
    size: int


class ImageShards(Photos):
    """The photographs of one split in tar files, decoded when they are fetched.

    Args:
        root: holds `train`, `val` (or `validation` or `test`) and classes.txt.
        split: "train" or "test".
        view: the square of each photograph that is returned.
        name: of the data set, for reports and errors.
        size_limit: the largest number of photographs, spread evenly over the shards.

    Attributes:
        ids: the first word of each line of classes.txt; `classes` are the titles.

    Raises:
        DataError: a folder or file is missing, or a tar is damaged.
    """

    def __init__(
        self, root: str | Path, split: str, view: View, name: str = "imagenet", size_limit: int | None = None
    ) -> None:
        check_split(name, split)
        self.folder = split_folder(name, Path(root), split)
        try:
            lines = (Path(root) / _CLASSES).read_text(encoding="utf-8").splitlines()
            self.ids = tuple(line.split()[0] for line in lines if line.strip())
            titles = tuple(" ".join(line.split()[1:]) or line.strip() for line in lines if line.strip())
            members = _members(name, self.folder)
        except OSError as error:
            raise DataError(f"{name}: can't read {error.filename or root}: {error.strerror or error}") from error
        labels = np.array([label for _, label in members], dtype=np.int64)
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(titles):
            raise DataError(f"{name}: labels run from {labels.min()} to {labels.max()} for {len(titles)} classes")
        super().__init__(name, Listing([place for place, _ in members], labels, titles).spread(size_limit), view)
        self.shard_of = np.unique([place.shard for place in self.files], return_inverse=True)[1]

    def content(self, index: int) -> tuple[str, bytes]:
        shard, start, size = self.files[index]
        path = self.folder / shard
        with open(path, "rb") as file:
            file.seek(start)
            content = file.read(size)
        if len(content) < size:
            raise DataError(f"{path} ends within the photograph at byte {start}")
        return f"{path} at byte {start}", content

    def order(self, rng: Random) -> NDArray[np.int64]:
        """Return an order that reads shard after shard: groups of shards at random, each group shuffled."""
        place = rng.permutation(self.shard_of.max() + 1)[self.shard_of] // _GROUP
        return np.lexsort((rng.permutation(len(self)), place)).astype(np.int64)


def _members(name: str, folder: Path) -> list[tuple[Place, int]]:
    """Return place and label of each photograph; read from index.json if the tars are unchanged."""
    shards = sorted(path for path in folder.iterdir() if path.suffix == ".tar" and not path.name.startswith("."))
    if not shards:
        raise DataError(f"{name}: {folder} has no .tar file")
    state = {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in shards}
    try:
        stored = json.loads((folder / _INDEX).read_bytes())
        if stored["format"] == _FORMAT and stored["shards"] == state:
            return [(Place(*place), label) for place, label in stored["members"]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass
    bar = tqdm(shards, f"listing {escaped(folder.name)}", unit=" shards", delay=1, leave=False, disable=None)
    members = [member for path in bar for member in _members_of(name, path)]
    stored = {"format": _FORMAT, "shards": state, "members": members}
    if os.access(folder, os.W_OK):
        atomic_write(folder / _INDEX, json.dumps(stored).encode())
    return members


def _members_of(name: str, path: Path) -> list[tuple[Place, int]]:
    photographs: dict[str, Place] = {}
    labels: dict[str, int] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for entry in tar:
                if not entry.isreg():
                    continue
                above, slash, base = entry.name.rpartition("/")
                stem, _, suffix = base.partition(".")
                key = above + slash + stem
                if f".{suffix.lower()}" in SUFFIXES:
                    photographs[key] = Place(path.name, entry.offset_data, entry.size)
                elif suffix == "cls":
                    content: Any = tar.extractfile(entry)
                    labels[key] = int(content.read(20))
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise DataError(f"{name}: {path} can't be read as a shard: {error}") from error
    if missing := photographs.keys() - labels.keys():
        raise DataError(f"{name}: {path} has no .cls file for {escaped(min(missing))}")
    return [(place, labels[key]) for key, place in photographs.items()]


def write_shards(source: ImageFolder, split: str, out: str | Path, photographs: int = 1000, seed: int = 0) -> int:
    """Write the photographs of a tree, unchanged, as shards to ``out/<train or val>``; return the number of shards.

    Args:
        source: the photographs; their order is shuffled, since a tree is sorted by class.
        split: "train" or "test".
        out: a folder; classes.txt is written to it.
        photographs: in each shard.
        seed: of the order.

    Raises:
        DataError: photographs is below 1, or one can't be read. OSError.
    """
    if photographs < 1:
        raise DataError(f"write_shards: photographs is {photographs}, expected at least 1")
    folder = Path(out) / {"train": "train", "test": "val"}[split]
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{class_id} {title}" for class_id, title in zip(source.ids, source.classes, strict=True)]
    atomic_write(Path(out) / _CLASSES, ("\n".join(lines) + "\n").encode())
    order = np.random.default_rng(seed).permutation(len(source))
    starts = range(0, len(order), photographs)
    for number, first in enumerate(tqdm(starts, "writing", unit=" shards", disable=None)):
        path = folder / f"{number:06d}.tar"
        partial = folder / f".{path.name}.{os.getpid()}.partial"
        try:
            with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
                for index in order[first : first + photographs]:
                    _add(tar, source, int(index))
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    return len(starts)


def _add(tar: tarfile.TarFile, source: ImageFolder, index: int) -> None:
    _, content = source.content(index)
    suffix = Path(source.files[index]).suffix.lower()
    for ending, data in ((suffix, content), (".cls", str(source.labels[index]).encode())):
        entry = tarfile.TarInfo(f"{index:08d}{ending}")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
