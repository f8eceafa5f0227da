"""Photos: a data set of image files that are decoded when they are fetched, through a view.

`image_folder` finds the files in a tree of folders, `shards` finds them inside tar files.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .dataset import Dataset, Drawn, Indices
from .decode import read_view
from .views import Random, View


class Listing(NamedTuple):
    """The image files of one split of a data set.

    files: where each is, in the stored order. labels: int64 (n,). classes: their names, in label order.
    """

    files: list[str]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def spread(self, size_limit: int | None) -> Listing:
        """Return at most `size_limit` files, spread evenly over the stored order."""
        if size_limit is None or size_limit >= len(self.files):
            return self
        kept = np.arange(size_limit) * len(self.files) // size_limit
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

    def draw(self, indices: Indices, rng: Random) -> Drawn:
        pixels, kept, broken = [], [], []
        for index in np.asarray(indices, dtype=np.int64):
            try:
                name, content = self.content(int(index))
                pixels.append(read_view(name, self.view, rng, content))
                kept.append(index)
            except (DataError, OSError) as error:
                broken.append((int(index), str(error)))
        empty = np.empty((0, 3, self.view.size, self.view.size), np.uint8)
        images = np.stack(pixels) if pixels else empty
        return Drawn(images, self.labels[np.array(kept, dtype=np.int64)], tuple(broken))
