"""Shards: photographs in tar files of WebDataset's layout, for disks that dislike many small files.

    root/train/000000.tar     00000019-n01440764_10026.jpg, 00000019-n01440764_10026.cls (the label, as text), …
    root/train/contents.json  how many photographs each tar has; written last
    root/val/…
    root/classes.json         [id, title] of each class in label order; or classes.txt, one class a line, the id first

The headers of the tars are read once, and where each photograph lies is kept beside them (`index.json`). An epoch
shuffles the shards, then the photographs within groups of shards. So a disk reads whole shards one after the other,
and an epoch can be resumed at any batch without reading what came before.
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections import Counter
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

_CLASSES, _CLASS_LINES, _CONTENTS, _INDEX = "classes.json", "classes.txt", "contents.json", "index.json"
_GROUP = 4  # shards whose photographs are shuffled together
_FORMAT = 3  # of index.json
_LONGEST_STEM = 60  # characters of a file's name that its member's name keeps: tar allows 100


class Place(NamedTuple):
    """Where a photograph lies: the name of the tar, the number of its first byte, its size in bytes, and its name."""

    shard: str
    start: int
    size: int
    member: str


class ImageShards(Photos):
    """The photographs of one split in tar files, decoded when they are fetched.

    Args:
        root: holds `train`, `val` (or `validation` or `test`) and classes.json or classes.txt.
        split: "train" or "test".
        view: the square of each photograph that is returned.
        name: of the data set, for reports and errors.
        size_limit: the largest number of photographs, spread evenly over the shards.

    Attributes:
        ids: the names of the class folders; `classes` are the titles.

    Raises:
        DataError: a folder or file is missing, a tar is damaged, or photographs are missing.
    """

    def __init__(
        self, root: str | Path, split: str, view: View, name: str = "imagenet", size_limit: int | None = None
    ) -> None:
        check_split(name, split)
        self.folder = split_folder(name, Path(root), split)
        try:
            classes = _classes(name, Path(root))
            members = _members(name, self.folder)
            _check_contents(name, self.folder, Counter(place.shard for place, _ in members), len(classes))
        except OSError as error:
            raise DataError(f"{name}: can't read {error.filename or root}: {error.strerror or error}") from error
        self.ids, titles = (tuple(column) for column in zip(*classes, strict=True))
        labels = np.array([label for _, label in members], dtype=np.int64)
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(titles):
            raise DataError(f"{name}: labels run from {labels.min()} to {labels.max()} for {len(titles)} classes")
        super().__init__(name, Listing([place for place, _ in members], labels, titles).spread(size_limit), view)
        self.shard_of = np.unique([place.shard for place in self.files], return_inverse=True)[1]
        names = [place.member for place in self.files]
        self.by_name = np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)

    def content(self, index: int) -> tuple[str, bytes]:
        shard, start, size, member = self.files[index]
        path = self.folder / shard
        with open(path, "rb") as file:
            file.seek(start)
            content = file.read(size)
        if len(content) < size:
            raise DataError(f"{path} ends within the photograph {member}")
        return f"{path}/{member}", content

    def order(self, rng: Random) -> NDArray[np.int64]:
        """Return an order that reads shard after shard: groups of shards at random, each group shuffled.

        It is the order that the tree's photographs would have, sorted by group. So up to four shards of `write_shards`
        give a training the bits of their tree: names of members begin with the photograph's number in the tree.
        """
        order = self.by_name[rng.permutation(len(self))]
        group = rng.permutation(self.shard_of.max() + 1)[self.shard_of] // _GROUP
        return order[np.argsort(group[order], kind="stable")]


def _classes(name: str, root: Path) -> list[tuple[str, str]]:
    """Return id and title of each class. Raises DataError, OSError."""
    path = root / _CLASSES
    if not path.exists():
        lines = (root / _CLASS_LINES).read_text(encoding="utf-8").splitlines()
        words = [line.split(maxsplit=1) for line in lines if line.strip()]
        return [(first, rest[0].strip() if rest else first) for first, *rest in words]
    try:
        classes = [(id_, title) for id_, title in json.loads(path.read_bytes())]
        if classes and all(isinstance(text, str) for pair in classes for text in pair):
            return classes
    except (ValueError, TypeError, RecursionError):
        pass
    raise DataError(f"{name}: {path} is damaged: expected a list of [id, title]")


def _check_contents(name: str, folder: Path, found: Counter[str], classes: int) -> None:
    """Compare the photographs found in each shard with contents.json, which shards of others lack. Raises DataError."""
    path = folder / _CONTENTS
    if not path.exists():
        if (folder.parent / _CLASSES).exists():
            raise DataError(f"{name}: {path} is missing: the shards of {folder} were not written to the end")
        return
    try:
        contents = json.loads(path.read_bytes())
        expected, count = dict(contents["photographs"]), contents["classes"]
    except (ValueError, TypeError, LookupError, RecursionError):
        raise DataError(f"{name}: {path} is damaged") from None
    if count != classes:
        raise DataError(f"{name}: {path} was written for {count} classes, but {folder.parent} lists {classes}")
    for shard in sorted(expected.keys() | found.keys()):
        if expected.get(shard) != found.get(shard):
            seen = f"has {found[shard]} photographs" if shard in found else "is missing"
            wanted = f"{expected[shard]} were written" if shard in expected else "it was not written with the others"
            raise DataError(f"{name}: shard {folder / shard} {seen}, {wanted}")


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
                    photographs[key] = Place(path.name, entry.offset_data, entry.size, escaped(entry.name))
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

    Nothing of a split is left if it could not be written as a whole.

    Args:
        source: the photographs; their order is shuffled, since a tree is sorted by class.
        split: "train" or "test".
        out: a folder; classes.json is written to it.
        photographs: in each shard.
        seed: of the order.

    Raises:
        DataError: photographs is below 1, one can't be read, the folder is not empty, or it can't be written to.
    """
    if photographs < 1:
        raise DataError(f"write_shards: photographs is {photographs}, expected at least 1")
    folder = Path(out) / {"train": "train", "test": "val"}[split]
    counts: dict[str, int] = {}
    order = np.random.default_rng(seed).permutation(len(source))
    starts = range(0, len(order), photographs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise DataError(f"write_shards: {folder} is not empty: old and new shards would be mixed")
        for number, first in enumerate(tqdm(starts, "writing", unit=" shards", disable=None)):
            chosen = order[first : first + photographs]
            path = folder / f"{number:06d}.tar"
            counts[path.name] = len(chosen)
            with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
                for index in chosen:
                    _add(tar, source, int(index))
        classes = list(zip(source.ids, source.classes, strict=True))
        atomic_write(Path(out) / _CLASSES, json.dumps(classes, ensure_ascii=False, indent=0).encode())
        contents = {"classes": len(classes), "photographs": counts}
        atomic_write(folder / _CONTENTS, json.dumps(contents).encode())
    except BaseException as error:
        for shard in counts:
            (folder / shard).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise DataError(f"write_shards: can't write to {folder}: {error.strerror or error}") from error
        raise
    return len(starts)


def _add(tar: tarfile.TarFile, source: ImageFolder, index: int) -> None:
    try:
        _, content = source.content(index)
    except OSError as error:
        raise DataError(f"{source.folder / source.files[index]} can't be read: {error.strerror or error}") from error
    path = Path(source.files[index])
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", path.stem)[:_LONGEST_STEM]  # a dot would end WebDataset's name of the sample
    for ending, data in ((path.suffix.lower(), content), (".cls", str(source.labels[index]).encode())):
        entry = tarfile.TarInfo(f"{index:08d}-{stem}{ending}")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
