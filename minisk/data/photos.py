"""Photos: a data set of image files that are decoded when they are fetched, through a view.

`image_folder` finds the files in a tree of folders, `shards` finds them inside tar files.
"""

from __future__ import annotations

import zlib
from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .dataset import Dataset, Drawn, Indices, spread_indices
from .decode import read_view
from .views import Random, View


class Listing(NamedTuple):
    """The image files of one split of a data set.

    files: where each is, in the stored order: a path, or a place in a shard.
    labels: int64 (n,). classes: their names, in label order.
    """

    files: list[Any]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def spread(self, size_limit: int | None) -> Listing:
        """Return at most `size_limit` files, spread evenly over the stored order."""
        kept = spread_indices(len(self.files), size_limit)
        return Listing([self.files[i] for i in kept], self.labels[kept], self.classes)


class Photos(Dataset):
    """Labelled photographs of any size, seen through a view; a subclass defines `content`.

    A file that can't be read has no place in a batch. `draw` says which, and the Loader decides whether that is an
    error.

    Args:
        name: shown in reports and errors.
        listing: the files.
        view: the square of each photograph that is returned.
    """

    def __init__(self, name: str, listing: Listing, view: View) -> None:
        self.name, self.classes, self.view = name, listing.classes, view
        self.files, self.labels = listing.files, listing.labels
        if not self.files:
            raise DataError(f"{name}: no images")

    images_at_once = 64  # 256 would fill the memory of a laptop

    @property
    def image_size(self) -> tuple[int, int]:
        return self.view.size, self.view.size

    def checksum(self, value: int = 0) -> int:
        """Return a CRC-32 of class names, files and labels: to read a million photographs would take an hour."""
        value = zlib.crc32(repr(self.files).encode(), zlib.crc32(repr(self.classes).encode(), value))
        return zlib.crc32(self.labels.tobytes(), value)

    @abstractmethod
    def content(self, index: int) -> tuple[str, bytes]:
        """Return the name of a file, for errors, and its bytes. Raises DataError, OSError."""

    def __len__(self) -> int:
        return len(self.files)

    def fetch(self, indices: Indices) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the views, uint8 (n, 3, size, size), and labels. Raises DataError for the first that can't be read.

        What a view draws at random is the same at each call.
        """
        drawn = self.draw(indices, np.random.default_rng(0))
        if drawn.broken:
            raise DataError(drawn.broken[0][1])
        return drawn.images, drawn.labels

    def draw(self, indices: Indices, rng: Random, needed: Indices | None = None) -> Drawn:
        # Each photograph has a stream of its own: what it draws depends on no other, so a process may leave others out.
        pixels, kept, broken = [], [], []
        black = np.zeros((3, self.view.size, self.view.size), np.uint8)
        wanted = range(len(indices)) if needed is None else {int(position) for position in needed}
        for position, (index, own) in enumerate(
            zip(np.asarray(indices, np.int64), rng.spawn(len(indices)), strict=True)
        ):
            try:
                if position in wanted:
                    name, content = self.content(int(index))
                    pixels.append(read_view(name, self.view, own, content))
                else:
                    pixels.append(black)
                kept.append(index)
            except (DataError, OSError) as error:
                broken.append((int(index), str(error)))
        empty = np.empty((0, 3, self.view.size, self.view.size), np.uint8)
        images = np.stack(pixels) if pixels else empty
        return Drawn(images, self.labels[np.array(kept, dtype=np.int64)], tuple(broken))
