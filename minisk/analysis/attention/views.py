"""The views of each image that are compared: enlarged, blurred, and drawn larger.

    enlarged s   the central square of side 1/s, resized to the network's input: the object looks s times as large
    blurred s    the whole view, reduced to the pixels that enlarged s has, and resized by the same filter
    drawn s      shapes only: the object is drawn s times as large and as sharp as before, the rest is the same

A small image that is enlarged is also blurred, because its pixels are stretched. "blurred s" has that blur without the
change of size. A photograph with enough pixels stays sharp when it is enlarged: there "blurred s" is the view itself.

All views of one image are stacked to a strip, uint8 (3, views · size, size). So a data set of strips reads each image
once, and the views of an image stay together.
Source: Li et al., *Selective Kernel Networks*, CVPR 2019, section 4.4, for the enlarged views.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...data import Dataset, Photos
from ...data.folder import SUFFIXES
from ...data.photos import Listing
from ...data.views import Box, Random
from ...errors import ArgumentError, DataError

ENLARGED, BLURRED, DRAWN = "enlarged", "blurred", "drawn"


class Condition(NamedTuple):
    """One view of an image: its kind, and the factor by which the object looks larger (or the view is blurred)."""

    kind: str
    scale: float


ORIGINAL = Condition(ENLARGED, 1.0)


def check_scales(scales: Sequence[float]) -> tuple[float, ...]:
    """Return the factors above 1, sorted, each once. Raises ArgumentError unless all are in 1 … 8, one above 1."""
    kept = sorted({float(scale) for scale in scales if scale != 1})
    if not kept or not all(1 < scale <= 8 for scale in kept):
        raise ArgumentError(f"attention: scales are {list(scales)}, expected numbers above 1 and up to 8")
    return tuple(kept)


def conditions_for(scales: Sequence[float], drawn: bool = False) -> tuple[Condition, ...]:
    """Return the views of each image, the original first.

    Args:
        scales: factors above 1.
        drawn: also the views of objects that are drawn larger.
    """
    kinds = (ENLARGED, BLURRED, DRAWN) if drawn else (ENLARGED, BLURRED)
    return (ORIGINAL, *(Condition(kind, scale) for kind in kinds for scale in scales))


@dataclass(frozen=True)
class StripView:
    """Cuts enlarged and blurred views out of a photograph and stacks them. It is a `data.View`.

    Args:
        size: height and width of each view, in pixels.
        conditions: of kinds enlarged and blurred.
        share: of the photograph's shorter side that the original view shows.
    """

    size: int
    conditions: tuple[Condition, ...]
    share: float = 1.0
    reduces: bool = False

    def box(self, width: int, height: int, rng: Random) -> Box:
        """Return the box of the original view."""
        side = self.share * min(width, height)
        return (width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2

    def cut(self, image: Any, box: Box) -> NDArray[np.uint8]:
        """Return the strip of a Pillow image, (views · size, size, 3)."""
        return np.concatenate([np.asarray(self._one(image, box, condition)) for condition in self.conditions])

    def _one(self, image: Any, box: Box, condition: Condition) -> Any:
        left, top, right, bottom = box
        side = (right - left) / condition.scale
        if condition.kind == ENLARGED:
            x, y = (left + right - side) / 2, (top + bottom - side) / 2
            return _resize(image, self.size, (x, y, x + side, y + side))
        detail = min(self.size, max(1, round(side)))  # pixels of the enlarged view before it is resized
        return _resize(_resize(image, detail, box), self.size, (0, 0, detail, detail))


def _resize(image: Any, size: int, box: Box) -> Any:
    return image.resize((size, size), Image.Resampling.BICUBIC, box=box)


class ImageStrips(Dataset):
    """The strips of images in memory.

    Args:
        images: the originals; their size becomes the size of the views.
        conditions: of enlarged and blurred views.
        drawn: further versions of the same images, which follow in the strip.
    """

    def __init__(self, images: Dataset, conditions: tuple[Condition, ...], drawn: Sequence[Dataset] = ()) -> None:
        self.name, self.classes, self.images, self.drawn = images.name, images.classes, images, drawn
        cut = tuple(condition for condition in conditions if condition.kind != DRAWN)
        self.view = StripView(min(images.image_size), cut)

    def __len__(self) -> int:
        return len(self.images)

    def fetch(self, indices: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        pixels, labels = self.images.fetch(indices)
        cut = [self._strip(one) for one in pixels]
        return np.concatenate([np.stack(cut), *(one.fetch(indices)[0] for one in self.drawn)], axis=2), labels

    def _strip(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        return self.view.cut(image, self.view.box(*image.size, np.random.default_rng(0))).transpose(2, 0, 1)


class ImageFiles(Photos):
    """Image files of any size, given by name; the class of a file is the name of its folder.

    Args:
        paths: files, and folders that are searched for image files at any depth.
        view: of each photograph.
        limit: the largest number of images, spread evenly.

    Raises:
        DataError: a path does not exist, or there is no image file.
    """

    def __init__(self, paths: Sequence[str | Path], view: StripView, limit: int | None = None) -> None:
        files = [found for path in paths for found in _image_files(Path(path))]
        if not files:
            raise DataError(f"attention: no image file in {', '.join(map(str, paths))}")
        folders = [file.resolve().parent.name for file in files]
        classes = tuple(sorted(set(folders)))
        labels = np.array([classes.index(folder) for folder in folders], dtype=np.int64)
        super().__init__("images", Listing(files, labels, classes).spread(limit), view)

    def content(self, index: int) -> tuple[str, bytes]:
        path = self.files[index]
        if not path.is_file():  # reading a pipe would wait for ever
            raise DataError(f"{path} is not a file")
        return str(path), path.read_bytes()


def _image_files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(found for found in path.rglob("*") if found.name.lower().endswith(SUFFIXES))
    if not path.exists():
        raise DataError(f"attention: {path} does not exist")
    return [path]


def box_areas(path: str | Path, files: Sequence[str]) -> NDArray[np.float64]:
    """Return the area of the object in each image, in pixels, float64 (n,); NaN where no box is known.

    Args:
        path: a CSV file with the columns class, file, x0, y0, x1, y1, in pixels; further columns are not read.
        files: "class/…/file" of each image.

    Raises:
        DataError: the file can't be read, lacks a column or has a box that is no number; or it knows none of the files.
    """
    areas = {}
    try:
        with open(path, newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                x0, y0, x1, y1 = (float(row[side]) for side in ("x0", "y0", "x1", "y1"))
                areas[row["class"], row["file"]] = max(0.0, x1 - x0) * max(0.0, y1 - y0)
    except OSError as error:
        raise DataError(f"attention: boxes {path} can't be read: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        expected = "the columns class, file, x0, y0, x1, y1"
        raise DataError(f"attention: boxes {path} have a wrong line, expected {expected}: {error!r}") from error
    parts = [str(file).split("/") for file in files]
    found = np.array([areas.get((part[0], part[-1]), np.nan) for part in parts])
    if np.isnan(found).all():
        raise DataError(f"attention: boxes {path} know none of the {len(found)} images, such as {files[0]}")
    return found
