"""Share: the images of each batch that one of several processes computes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Share:
    """A batch is cut into parts, which are computed one after another, and each part into one piece for each process.

    Pieces differ by at most one image, and so do parts. The default is one process, which has the whole batch.

    Args:
        rank, size: the number of the process, and of processes.
        parts: of a batch, to save memory.
    """

    rank: int = 0
    size: int = 1
    parts: int = 1

    def positions(self, count: int) -> NDArray[np.int64]:
        """Return the positions of this process's images in a batch of `count`, part by part."""
        return np.concatenate(self._pieces(count))

    def sizes(self, count: int) -> list[int]:
        """Return how many of these images belong to each part."""
        return [len(piece) for piece in self._pieces(count)]

    def _pieces(self, count: int) -> list[NDArray[np.int64]]:
        parts = np.array_split(np.arange(count, dtype=np.int64), self.parts)
        return [np.array_split(part, self.size)[self.rank] for part in parts]
