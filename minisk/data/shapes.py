"""Shapes: generated images of ten kinds of object, small to large, on cluttered backgrounds. No download is needed.

A kind of object is a signed distance function: it maps points (x, y), y upwards, to their distance from the outline,
negative inside. Objects fill the square from -1 to 1. A distance times half the object's extent is in image widths.
Technique: https://iquilezles.org/articles/distfunctions2d/
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .dataset import ImageDataset

Floats = NDArray[Any]  # float32 throughout
Random = np.random.Generator

SMALLEST, LARGEST = 0.25, 0.9  # object extent as a fraction of the image width


class StandardShapes(NamedTuple):
    """A standard data set of drawn images.

    splits: number of images and seed of each split. size: height and width in pixels.
    extents: least and largest extent of an object, as fractions of the image width.
    """

    splits: Mapping[str, tuple[int, int]]
    size: int
    extents: tuple[float, float]


STANDARD_SHAPES = {
    "shapes": StandardShapes({"train": (14_000, 1), "test": (2_000, 2)}, 32, (SMALLEST, LARGEST)),
    # Objects vary in size by a factor of 4. The images are larger, so that a small object still shows its kind.
    "shapes_varied": StandardShapes({"train": (10_000, 3), "test": (2_000, 4)}, 64, (0.2, 0.8)),
}
_BLOCK = 256  # images drawn at once, from one random stream; a float32 block of 32×32 images has 3 MB
_TILT = math.radians(15)  # largest rotation; a plus rotated by 45 degrees would be a cross
_BLOBS, _LINES = 3, 3
_CONTRAST = 0.6  # least distance between the colours of object and background in the unit RGB cube, if possible


def _box(x: Floats, y: Floats, half_width: float | Floats, half_height: float | Floats) -> Floats:
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def _triangle(x: Floats, y: Floats) -> Floats:
    slanted = (1.8 * np.abs(x) + y - 1) / math.hypot(1.8, 1)  # through the top (0, 1) and a corner (±1, -0.8)
    return np.maximum(slanted, -0.8 - y)


def _plus(x: Floats, y: Floats) -> Floats:
    return np.minimum(_box(x, y, 1, 0.28), _box(x, y, 0.28, 1))


def _star(x: Floats, y: Floats) -> Floats:
    # Map every point to the same half of one of the five tips. There the outline is one line, from tip to notch.
    half_point = math.pi / 5
    angle = np.abs((np.arctan2(x, y) + half_point) % (2 * half_point) - half_point)
    along, across = np.hypot(x, y) * np.cos(angle), np.hypot(x, y) * np.sin(angle)
    notch_along, notch_across = 0.45 * math.cos(half_point), 0.45 * math.sin(half_point)
    distance = (along - 1) * notch_across + across * (1 - notch_along)
    return distance / math.hypot(notch_across, 1 - notch_along)


SHAPES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "disc": lambda x, y: np.hypot(x, y) - 1,
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.75) - 0.25,
    "square": lambda x, y: _box(x, y, 0.9, 0.9),
    "frame": lambda x, y: np.maximum(_box(x, y, 0.9, 0.9), -_box(x, y, 0.45, 0.45)),
    "triangle": _triangle,
    "plus": _plus,
    "cross": lambda x, y: 1.1 * _plus((x + y) / 1.1 / math.sqrt(2), (x - y) / 1.1 / math.sqrt(2)),
    "star": _star,
    "crescent": lambda x, y: np.maximum(np.hypot(x, y) - 1, 0.8 - np.hypot(x - 0.5, y)),
    "bars": lambda x, y: _box(x, np.abs(y) - 0.6, 0.9, 0.3),
}


def make_shapes(
    count: int, seed: int, size: int = 32, extents: tuple[float, float] = (SMALLEST, LARGEST), name: str = "shapes"
) -> ImageDataset:
    """Return a data set of drawn images.

    Each block of images has its own random stream, keyed by (seed, block). So a larger count begins with the same
    images.

    Args:
        count: number of images, from 1.
        seed: of all random choices.
        size: height and width in pixels.
        extents: least and largest extent of an object, as fractions of the image width.
        name: of the data set.

    Returns:
        Images uint8 (count, 3, size, size); the classes are SHAPES.

    Raises:
        DataError: count or size is less than 1, or extents are not in order between 0 and 1.
    """
    return make_scaled_shapes(count, seed, (1.0,), size, extents, name).images[0]


class ScaledShapes(NamedTuple):
    """The same drawn images several times, with objects of another size each time.

    images: a data set for each scale. extents: of the objects at scale 1, fractions of the image width, (count,).
    """

    images: list[ImageDataset]
    extents: Floats


def make_scaled_shapes(
    count: int,
    seed: int,
    scales: Sequence[float],
    size: int = 32,
    extents: tuple[float, float] = (SMALLEST, LARGEST),
    name: str = "shapes",
) -> ScaledShapes:
    """Return drawn images whose objects are `scales` times as large, each as sharp as the others.

    An object grows about its centre. Every pixel that it covers at no scale is the same in all of the images. Objects
    are placed so that the largest is inside the image.

    Args:
        count, seed, size, name: as of `make_shapes`.
        scales: factors of the extents, above 0.
        extents: least and largest extent at scale 1. The largest scale may make the objects as large as the image.

    Raises:
        DataError: as `make_shapes`; or there is no scale, or one is not above 0.
    """
    if count < 1 or size < 1:
        raise DataError(f"make_shapes: count is {count} and size is {size}, expected at least 1")
    if not scales or min(scales) <= 0:
        raise DataError(f"make_shapes: the scales are {list(scales)}, expected at least one, each above 0")
    if not 0 < extents[0] <= extents[1] <= 1 / max(scales):
        expected = f"0 < least <= largest <= {1 / max(scales):.3g}"
        raise DataError(f"make_shapes: extents are {extents} and the largest scale {max(scales)}, expected {expected}")
    images = np.empty((len(scales), count, 3, size, size), dtype=np.uint8)
    labels, drawn = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.float32)
    for first in range(0, count, _BLOCK):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(first // _BLOCK,)))
        here, kept = slice(first, first + _BLOCK), slice(count - first)  # the last block may be cut
        block = _draw_block(rng, size, scales, extents)
        images[:, here], labels[here], drawn[here] = block[0][:, kept], block[1][kept], block[2][kept]
    return ScaledShapes([ImageDataset(one, labels, tuple(SHAPES), name) for one in images], drawn)


def _draw_block(
    rng: Random, size: int, scales: Sequence[float], limits: tuple[float, float]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], Floats]:
    """Return images (len(scales), BLOCK, 3, size, size), labels and extents of one block.

    Coordinates are fractions of the image width, y upwards.
    """
    centres = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = centres[np.newaxis, np.newaxis, :], centres[np.newaxis, ::-1, np.newaxis]
    labels = rng.integers(len(SHAPES), size=_BLOCK)
    extents = _uniform(rng, *limits)
    ground = _random_colours(rng)
    canvas = _gradient(rng, ground, x, y)
    _add_clutter(rng, canvas, x, y)
    room = extents * np.float32(max(scales)) / 2
    place = _Place(_uniform(rng, room, 1 - room), _uniform(rng, room, 1 - room), _uniform(rng, -_TILT, _TILT))
    colours = _contrasting_colours(rng, ground)
    noise = rng.standard_normal(canvas.shape, dtype=np.float32) * _uniform(rng, 0.0, 0.08)[:, :, :, np.newaxis]
    images = np.empty((len(scales), *canvas.shape), dtype=np.uint8)
    for image, scale in zip(images, scales, strict=True):
        painted = canvas.copy()
        _blend(painted, colours, _object_coverage(place, labels, extents * np.float32(scale), x, y))
        image[...] = np.rint(np.clip(painted + noise, 0, 1) * 255)
    return images, labels, extents.ravel()


class _Place(NamedTuple):
    """Where each image's object is: its centre, and its rotation in radians, each (BLOCK, 1, 1)."""

    x: Floats
    y: Floats
    tilt: Floats


def _object_coverage(place: _Place, labels: NDArray[np.int64], extents: Floats, x: Floats, y: Floats) -> Floats:
    """Return the share of each pixel that the image's object covers, 0 … 1, (BLOCK, H, W)."""
    half = extents / 2
    dx, dy = (x - place.x) / half, (y - place.y) / half
    u = np.cos(place.tilt) * dx + np.sin(place.tilt) * dy
    v = np.cos(place.tilt) * dy - np.sin(place.tilt) * dx
    distance = np.empty_like(u)
    for label, signed_distance in enumerate(SHAPES.values()):
        chosen = labels == label
        distance[chosen] = signed_distance(u[chosen], v[chosen])
    return _coverage(distance * half, x.size)


def _gradient(rng: Random, ground: Floats, x: Floats, y: Floats) -> Floats:
    """Return backgrounds (BLOCK, 3, H, W) whose colour changes linearly along a random direction."""
    direction = _uniform(rng, 0.0, 2 * math.pi)
    slope = np.cos(direction) * (x - 0.5) + np.sin(direction) * (y - 0.5)
    change = _random_colours(rng) - 0.5
    return ground[:, :, np.newaxis, np.newaxis] + change[:, :, np.newaxis, np.newaxis] * slope[:, np.newaxis]


def _add_clutter(rng: Random, canvas: Floats, x: Floats, y: Floats) -> None:
    """Paint soft blobs and thin line segments on the canvases (BLOCK, 3, H, W), in place."""
    for _ in range(_BLOBS):
        radius = _uniform(rng, 0.05, 0.25)
        square_distance = (x - _uniform(rng, 0.0, 1.0)) ** 2 + (y - _uniform(rng, 0.0, 1.0)) ** 2
        strength = _uniform(rng, 0.0, 0.6)
        _blend(canvas, _random_colours(rng), strength * np.exp(-square_distance / radius**2))
    for _ in range(_LINES):
        direction = _uniform(rng, 0.0, math.pi)
        dx, dy = x - _uniform(rng, 0.0, 1.0), y - _uniform(rng, 0.0, 1.0)
        along = np.cos(direction) * dx + np.sin(direction) * dy
        across = np.cos(direction) * dy - np.sin(direction) * dx
        distance = _box(along, across, _uniform(rng, 0.1, 0.4), _uniform(rng, 0.005, 0.025))
        strength = _uniform(rng, 0.2, 0.8)
        _blend(canvas, _random_colours(rng), strength * _coverage(distance, x.size))


def _coverage(distance: Floats, size: int) -> Floats:
    """Return the covered share of pixels at these distances (in image widths): ½ on the outline, linear for a pixel."""
    return np.clip(0.5 - distance * size, 0, 1)


def _blend(canvas: Floats, colours: Floats, coverage: Floats) -> None:
    """Blend one colour per image (BLOCK, 3) into the canvases by its coverage (BLOCK, H, W), in place."""
    canvas += coverage[:, np.newaxis] * (colours[:, :, np.newaxis, np.newaxis] - canvas)


def _contrasting_colours(rng: Random, ground: Floats) -> Floats:
    """Return for each image the first of eight random colours that contrasts enough, otherwise the most distant."""
    candidates = rng.random((_BLOCK, 8, 3), dtype=np.float32)
    distance = np.sqrt(((candidates - ground[:, np.newaxis]) ** 2).sum(axis=2))
    return candidates[np.arange(_BLOCK), np.minimum(distance, _CONTRAST).argmax(axis=1)]


def _random_colours(rng: Random) -> Floats:
    return rng.random((_BLOCK, 3), dtype=np.float32)


def _uniform(rng: Random, low: float | Floats, high: float | Floats) -> Floats:
    """Return one random number per image, (BLOCK, 1, 1), which broadcasts over its pixels."""
    return np.asarray(low + (high - low) * rng.random((_BLOCK, 1, 1), dtype=np.float32))
