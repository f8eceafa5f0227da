"""ImageFolder: the photographs of a tree, `train/<class>/…` and `val/<class>/…`, as ImageNet is stored.

    root/train/n01440764/n01440764_10026.JPEG      any depth below the class
    root/val/n01440764/ILSVRC2012_val_00000293.JPEG
    root/val/ILSVRC2012_val_00000293.JPEG          the official flat folder, with a file of labels: `class_files.py`

The tree is listed once. The list is kept in the user's cache folder with the time of the last change of every folder
in the tree, so that an unchanged tree is not listed again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..backend.folders import cache_path
from ..errors import DataError, escaped
from ..serialization import atomic_write
from .class_files import class_titles, labels_of_flat_folder
from .dataset import check_split
from .decode import has_several_frames
from .folder import SUFFIXES, class_folders, warn_of_loose_images, warn_of_others
from .photos import Listing, Photos
from .views import View

log = logging.getLogger("minisk")

_FOLDERS = {"train": ("train",), "test": ("val", "validation", "test")}  # of a split; the first that exists counts
_SECONDS_WITHOUT_BAR = 1.0
_FORMAT = 1  # of the cached list


class ImageFolder(Photos):
    """The photographs of one split of a tree, decoded when they are fetched.

    Args:
        root: holds `train` and `val` (or `validation` or `test`).
        split: "train" or "test".
        view: the square of each photograph that is returned.
        name: of the data set, for reports and errors.
        size_limit: the largest number of photographs, spread evenly over the sorted paths.

    Attributes:
        ids: the folder names of the classes, such as WordNet ids. `classes` are their titles if a file in root has
            them (see `class_files.class_titles`), otherwise the ids.

    Raises:
        DataError: a folder or a class is missing or empty, or a link leads nowhere.
    """

    def __init__(
        self, root: str | Path, split: str, view: View, name: str = "imagenet", size_limit: int | None = None
    ) -> None:
        check_split(name, split)
        self.root = Path(root)
        try:
            train = split_folder(name, self.root, "train")
            listing = _listing(name, train) if split == "train" else _evaluation_listing(name, self.root, train)
        except OSError as error:
            raise DataError(f"{name}: can't read {error.filename or root}: {error.strerror or error}") from error
        self.ids = listing.classes
        self.folder = split_folder(name, self.root, split)
        super().__init__(name, listing.spread(size_limit), view)
        self.classes = class_titles(name, self.root, self.ids)

    def content(self, index: int) -> tuple[str, bytes]:
        path = self.folder / self.files[index]
        if not path.is_file():  # reading a pipe would wait for ever
            raise DataError(f"{path} is not a file")
        return str(path), path.read_bytes()


def split_folder(name: str, root: Path, split: str) -> Path:
    """Return the folder of a split, "train" or "test". Raises DataError if there is none."""
    for folder in _FOLDERS[split]:
        if (root / folder).is_dir():
            return root / folder
    raise DataError(f"{name}: {root} has no folder {' or '.join(_FOLDERS[split])}")


def _evaluation_listing(name: str, root: Path, train: Path) -> Listing:
    """Return the files to evaluate, with the labels that they have in training; of `train`, only folders are read."""
    classes, folder = tuple(_class_names(name, train)), split_folder(name, root, "test")
    paths = list(folder.iterdir())
    if not any(path.is_dir() for path in paths):
        files = sorted(path.name for path in paths if path.name.lower().endswith(SUFFIXES))
        return Listing(files, labels_of_flat_folder(name, root, files, classes), classes)
    found = _listing(name, folder)
    if unknown := sorted(set(found.classes) - set(classes)):
        raise DataError(f"{name}: {folder / unknown[0]} is a class that the training images lack")
    if missing := sorted(set(classes) - set(found.classes)):
        log.warning(
            "%s: classes without an image in %s: %d, such as %s", name, folder, len(missing), escaped(missing[0])
        )
    position = {class_name: label for label, class_name in enumerate(classes)}
    labels = np.array([position[class_name] for class_name in found.classes], dtype=np.int64)
    return Listing(found.files, labels[found.labels], classes)


def _listing(name: str, folder: Path) -> Listing:
    """Return the files of a folder of class folders, from the cache if no folder in it has changed since."""
    cached = _cache_file(folder)
    stored = None if cached is None else _read_cached(cached, folder)
    if stored is None:
        stored = _list_tree(name, folder)
        _warn_of_animations(name, folder, stored["files"])
        _keep(cached, stored, folder)
    classes = tuple(stored["files"])
    files = [f"{class_name}/{file}" for class_name, names in stored["files"].items() for file in names]
    labels = np.repeat(np.arange(len(classes)), [len(names) for names in stored["files"].values()])
    return Listing(files, labels.astype(np.int64), classes)


def _warn_of_animations(name: str, folder: Path, files: dict[str, list[str]]) -> None:
    """Count the GIFs with several frames in one log line. Other files are not opened, so that listing stays fast."""
    paths = [folder / below / file for below, names in files.items() for file in names if file.lower().endswith(".gif")]
    if animated := [path for path in paths if has_several_frames(path)]:
        count, example = len(animated), escaped(str(animated[0]))
        log.warning("%s: animated GIFs, of which only the first frame is read: %d, such as %s", name, count, example)


def _cache_file(folder: Path) -> Path | None:
    """Return where the list of a folder is kept, or None if the user has no home folder."""
    try:
        return cache_path("trees") / f"{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]}.json"
    except RuntimeError:
        return None


def _keep(cached: Path | None, stored: dict[str, Any], folder: Path) -> None:
    """Write the list of a folder to the cache; warn where that is impossible."""
    if cached is None:
        log.warning("the list of %s can't be kept: the user has no home folder; set MINISK_CACHE", folder)
        return
    try:
        cached.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic_write(cached, json.dumps(stored).encode())
    except OSError as error:
        log.warning("the list of %s can't be kept in %s: %s", folder, cached.parent, error.strerror or error)


def _read_cached(path: Path, folder: Path) -> dict[str, Any] | None:
    """Return the kept list, or None if there is none, it is damaged, or a folder has changed since."""
    try:
        stored = json.loads(path.read_bytes())
        if stored["format"] != _FORMAT or any(
            os.stat(folder / below).st_mtime_ns != changed for below, changed in stored["changed"].items()
        ):
            return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return stored


def _class_names(name: str, folder: Path) -> list[str]:
    classes = class_folders(name, folder)
    if not classes:
        raise DataError(f"{name}: {folder} has no class folder")
    return classes


def _list_tree(name: str, folder: Path) -> dict[str, Any]:
    """List the image files below each class folder, and when each folder was last changed (ns)."""
    changed = {".": os.stat(folder).st_mtime_ns}
    warn_of_loose_images(folder)
    files: dict[str, list[str]] = {}
    bar = tqdm(
        _class_names(name, folder),
        f"listing {escaped(folder.name)}",
        unit=" classes",
        delay=_SECONDS_WITHOUT_BAR,
        leave=False,
        disable=None,
    )
    for class_name in bar:
        found, others = list[str](), list[str]()
        to_visit = [class_name]
        while to_visit:
            below = to_visit.pop()
            changed[below] = os.stat(folder / below).st_mtime_ns
            for entry in _entries(name, folder / below):
                inside = f"{below}/{entry.name}"
                if entry.is_dir():
                    to_visit.append(inside)
                else:
                    kept = found if entry.name.lower().endswith(SUFFIXES) else others
                    kept.append(inside[len(class_name) + 1 :])
        if not found:
            raise DataError(f"{name}: class folder {folder / class_name} has no image file")
        warn_of_others(folder / class_name, others)
        files[class_name] = sorted(found)
    return {"format": _FORMAT, "changed": changed, "files": files}


def _entries(name: str, folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of a folder but for hidden ones. Raises DataError for a link to a folder that is gone."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() and not entry.name.lower().endswith(SUFFIXES) and not os.path.exists(entry.path):
                raise DataError(f"{name}: {entry.path} is a link to a folder that does not exist")
            if entry.is_symlink() and _is_above(os.path.realpath(entry.path), folder):
                raise DataError(f"{name}: {entry.path} is a link to a folder above it")
            yield entry


def _is_above(target: str, folder: Path) -> bool:
    """Return whether a path is a folder that holds another, or is the same."""
    return os.path.isdir(target) and Path(os.path.realpath(folder)).is_relative_to(target)
