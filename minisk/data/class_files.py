"""Files that lie beside a tree of photographs: titles of the classes, and labels of a flat validation folder.

Titles, one class a line, the folder's name first ("n01440764 tench, Tinca tinca"):
    LOC_synset_mapping.txt (Kaggle), synset_words.txt (Caffe), classes.txt, or classes.csv with a comma

Labels of ILSVRC2012_val_00000001.JPEG and so on:
    LOC_val_solution.csv (Kaggle)                   file without suffix, then the class and boxes
    val.txt (Caffe)                                 file, then the position of the class among the sorted ids
    imagenet_2012_validation_synset_labels.txt      the class, one line a file, in sorted order
    ILSVRC2012_validation_ground_truth.txt          the devkit's number, one line a file; data/meta.mat explains it
"""

from __future__ import annotations

import csv
import importlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, escaped

_TITLES = ("LOC_synset_mapping.txt", "synset_words.txt", "classes.txt", "classes.csv")
_LABELS = ("LOC_val_solution.csv", "val.txt", "imagenet_2012_validation_synset_labels.txt")
_DEVKIT = "ILSVRC2012_validation_ground_truth.txt"
_META = "meta.mat"
_MOST_BYTES = 64_000_000  # of such a file


def class_titles(name: str, root: Path, ids: tuple[str, ...]) -> tuple[str, ...]:
    """Return a readable name for each class: the first synonym of its title; the id if no file has one.

    Two classes whose first synonym is the same ("crane") get it with their ids.

    Raises:
        DataError: the file lacks a class, or can't be read.
    """
    path = _first_of(root, _TITLES)
    if path is None:
        return ids
    words = dict(_pairs(name, path))
    if missing := [class_id for class_id in ids if not words.get(class_id)]:
        raise DataError(f"{name}: {path} has no title for {len(missing)} classes, such as {escaped(missing[0])}")
    titles = [words[class_id].strip('"').split(",")[0].strip() for class_id in ids]  # a CSV quotes several synonyms
    count = Counter(titles)
    return tuple(t if count[t] == 1 else f"{t} ({class_id})" for t, class_id in zip(titles, ids, strict=True))


def labels_of_flat_folder(name: str, root: Path, files: list[str], ids: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the label of each file of the official validation folder, int64 (n,).

    Args:
        name: of the data set, for errors.
        root: holds one of the files above, itself or in a folder below it.
        files: the sorted names.
        ids: the classes, sorted.

    Raises:
        DataError: there is no file of labels, it lacks an image, or it names an unknown class.
    """
    path = _first_of(root, _LABELS)
    if path is not None and path.name == _LABELS[2]:
        classes = _one_a_file(name, path, files)
    elif path is not None:
        pairs = dict(_pairs(name, path))
        by_file = {file.split(".")[0]: words.split()[0] for file, words in pairs.items() if words.split()}
        classes = [by_file.get(Path(file).stem, "") for file in files]
    elif (devkit := _first_of(root, (_DEVKIT,))) is not None:
        path = devkit
        numbers = _ids_of_the_devkit(name, devkit)
        classes = [numbers.get(number, "") for number in _one_a_file(name, devkit, files)]
    else:
        expected = ", ".join((*_LABELS, _DEVKIT))
        raise DataError(f"{name}: the validation folder has no class folders, and {root} has no labels ({expected})")
    position = {str(label): label for label in range(len(ids))}  # val.txt counts from 0
    position |= {class_id: label for label, class_id in enumerate(ids)}
    for file, class_id in zip(files, classes, strict=True):
        if class_id not in position:
            seen = f"has no label for {file}" if not class_id else f"gives {file} the unknown class {class_id}"
            raise DataError(f"{name}: {path} {escaped(seen)}")
    return np.array([position[class_id] for class_id in classes], dtype=np.int64)


def _first_of(root: Path, names: tuple[str, ...]) -> Path | None:
    for file in names:
        for found in (root / file, *sorted(root.glob(f"*/{file}")), *sorted(root.glob(f"*/data/{file}"))):
            if found.is_file():
                return found
    return None


def _lines(name: str, path: Path) -> list[str]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{name}: {path} has {path.stat().st_size:,} bytes, expected at most {_MOST_BYTES:,}")
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: {path} is not UTF-8 text") from error


def _pairs(name: str, path: Path) -> list[tuple[str, str]]:
    """Return the first word or CSV field of each line, and the rest of the line."""
    lines = _lines(name, path)
    if path.suffix == ".csv":  # a field in quotes may hold commas
        rows = [[field.strip() for field in row] for row in csv.reader(lines, skipinitialspace=True)]
        return [(first, ", ".join(rest)) for first, *rest in rows]
    words = [line.split(maxsplit=1) for line in lines]
    return [(first, rest[0].strip() if rest else "") for first, *rest in words]


def _one_a_file(name: str, path: Path, files: list[str]) -> list[str]:
    lines = [line.strip() for line in _lines(name, path)]
    if len(lines) != len(files):
        raise DataError(f"{name}: {path} has {len(lines)} lines for {len(files)} images")
    return lines


def _ids_of_the_devkit(name: str, truth: Path) -> dict[str, str]:
    """Return the WordNet id of each number of the devkit, from its meta.mat, which SciPy reads. Raises DataError."""
    path = truth.with_name(_META)
    try:
        synsets: Any = importlib.import_module("scipy.io").loadmat(path, squeeze_me=True)["synsets"]
        return {str(int(row["ILSVRC2012_ID"])): str(row["WNID"]) for row in synsets}
    except ImportError as error:
        other = f"or put {_LABELS[2]} or {_LABELS[0]} beside the images"
        raise DataError(f"{name}: {path} needs SciPy to be read; pip install scipy, {other}") from error
    except Exception as error:  # a reader of untrusted bytes may raise anything
        raise DataError(f"{name}: {path} can't be read: {error}") from error
