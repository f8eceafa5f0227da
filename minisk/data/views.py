"""Views: the square of a photograph that a network sees, chosen before the photograph is decoded.

    CenterView         the middle, after the shorter side was resized: evaluation
    RandomResizedView  a random part of random area and aspect: training

A view chooses a box of the upright photograph, then cuts it out of the decoded pixels at size × size. For training,
`decode.read_view` decodes a JPEG at 1/2, 1/4 or 1/8 of its sides if the box then still has size × size pixels.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from ..errors import DataError

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels
Random = np.random.Generator


class View(Protocol):
    """What a data set of photographs needs of a view.

    size: pixels of each side of the result. reduces: whether a JPEG may be decoded at a fraction of its sides.
    """

    @property
    def size(self) -> int: ...

    @property
    def reduces(self) -> bool: ...

    def box(self, width: int, height: int, rng: Random) -> Box:
        """Return the box of a photograph of this size, in pixels."""

    def cut(self, image: Any, box: Box) -> Any:
        """Return the box of a Pillow image, resized to size × size pixels."""


@dataclass(frozen=True)
class CenterView:
    """The middle square, as if the shorter side were first resized to size / share pixels.

    Source: the usual 224 of 256 pixels, Krizhevsky et al. 2012; 320 of 366 in the SKNet paper.

    Args:
        size: pixels of each side.
        share: of the shorter side that is kept, in (0, 1].
        interpolation: of the resize: "bilinear" or "bicubic".

    Raises:
        DataError: a number is out of range, or the interpolation is another one.
    """

    size: int
    share: float = 0.875
    interpolation: str = "bicubic"
    reduces: bool = False

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 < self.share <= 1:
            raise DataError(f"{self}: expected a size of at least 1, and a share above 0 and up to 1")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise DataError(f"{self}: expected the interpolation bilinear or bicubic")

    def box(self, width: int, height: int, rng: Random) -> Box:
        side = self.share * min(width, height)
        return (width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2

    def cut(self, image: Any, box: Box) -> Any:
        # In two steps, with their roundings, so that every pixel is that of published evaluations.
        shorter = int(self.size / self.share)
        resized = [shorter * side // min(image.size) for side in image.size]
        left, top = (round((side - self.size) / 2) for side in resized)
        resample = Image.Resampling[self.interpolation.upper()]
        return image.resize(resized, resample).crop((left, top, left + self.size, top + self.size))


@dataclass(frozen=True)
class RandomResizedView:
    """A random part of the photograph, whose area and aspect are drawn.

    Area: uniform between two shares of the photograph's. Aspect, width / height: log-uniform. If ten draws do not fit
    into the photograph, the largest middle part of an allowed aspect. Source: Szegedy et al. 2015, arXiv:1409.4842.

    Args:
        size: pixels of each side of the result.
        least_area, most_area: shares of the photograph's area, in (0, 1].
        most_aspect: the largest width / height, and height / width; at least 1.

    Raises:
        DataError: a number is out of range.
    """

    size: int
    least_area: float = 0.08
    most_area: float = 1.0
    most_aspect: float = 4 / 3
    reduces: bool = True

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 < self.least_area <= self.most_area <= 1 or not 1 <= self.most_aspect < math.inf:
            raise DataError(f"{self}: expected a size from 1, areas above 0 and up to 1, an aspect from 1")

    def box(self, width: int, height: int, rng: Random) -> Box:
        for _ in range(10):
            area = rng.uniform(self.least_area, self.most_area) * width * height
            aspect = self.most_aspect ** rng.uniform(-1, 1)
            across, down = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < across <= width and 0 < down <= height:
                left, top = int(rng.integers(width - across + 1)), int(rng.integers(height - down + 1))
                return left, top, left + across, top + down
        across = min(width, round(height * self.most_aspect))
        down = min(height, round(width * self.most_aspect))
        left, top = (width - across) // 2, (height - down) // 2
        return left, top, left + across, top + down

    def cut(self, image: Any, box: Box) -> Any:
        return image.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box)
