"""Shapes: drawn images of ten kinds of object, from small to large, on cluttered backgrounds; no download.

A kind of object is a signed distance function: for points (x, y), y upwards, the distance to the outline,
negative inside. Objects fill the square from -1 to 1, so a distance times half the extent in pixels is in
pixels. Technique: https://iquilezles.org/articles/distfunctions2d/
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .dataset import ImageDataset

Floats = NDArray[Any]  # float32 throughout
Random = np.random.Generator

SMALLEST, LARGEST = 0.25, 0.9  # object extent as a fraction of the image width
STANDARD_SPLITS = {"train": (14_000, 1), "test": (2_000, 2)}  # number of images, seed
_BLOCK = 256  # images drawn at once, from one random stream; a block is about 3 MB per float32 copy
_TILT = math.radians(15)  # at most; a plus tilted by 45 degrees would be a cross
_BLOBS, _LINES = 3, 3
_CONTRAST = 0.6  # wanted distance between an object's colour and its background's, in the unit RGB cube


def _box(x: Floats, y: Floats, half_width: float | Floats, half_height: float | Floats) -> Floats:
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def _triangle(x: Floats, y: Floats) -> Floats:
    slanted = (1.8 * np.abs(x) + y - 1) / math.hypot(1.8, 1)  # through the top (0, 1) and a corner (±1, -0.8)
    return np.maximum(slanted, -0.8 - y)


def _plus(x: Floats, y: Floats) -> Floats:
    return np.minimum(_box(x, y, 1, 0.28), _box(x, y, 0.28, 1))


def _star(x: Floats, y: Floats) -> Floats:
    # Fold the plane into half of one of five points: the outline there is one line, from tip to notch.
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


def make_shapes(count: int, seed: int, size: int = 32) -> ImageDataset:
    """Draw ``count`` images, uint8 (count, 3, size, size).

    The first images of a larger count are the same bits, as every block of images has a stream of its
    own, keyed by (seed, block). Raises DataError if count or size is less than 1.
    """
    if count < 1 or size < 1:
        raise DataError(f"make_shapes: count is {count} and size is {size}, expected at least 1")
    images = np.empty((count, 3, size, size), dtype=np.uint8)
    labels = np.empty(count, dtype=np.int64)
    for first in range(0, count, _BLOCK):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(first // _BLOCK,)))
        here, kept = slice(first, first + _BLOCK), slice(count - first)  # the last block may be cut
        drawn, their = _draw_block(rng, size)
        images[here], labels[here] = drawn[kept], their[kept]
    return ImageDataset(images, labels, tuple(SHAPES), "shapes")


def _draw_block(rng: Random, size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw one block: images and labels. Coordinates are fractions of the image width, y upwards."""
    centres = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = centres[np.newaxis, np.newaxis, :], centres[np.newaxis, ::-1, np.newaxis]
    labels = rng.integers(len(SHAPES), size=_BLOCK)
    extents = _uniform(rng, SMALLEST, LARGEST)
    ground = _random_colours(rng)
    canvas = _gradient(rng, ground, x, y)
    _add_clutter(rng, canvas, x, y)
    coverage = _object_coverage(rng, labels, extents, x, y)
    _blend(canvas, _contrasting_colours(rng, ground), coverage)
    canvas += rng.standard_normal(canvas.shape, dtype=np.float32) * _uniform(rng, 0.0, 0.08)[:, :, :, np.newaxis]
    return np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8), labels


def _object_coverage(rng: Random, labels: NDArray[np.int64], extents: Floats, x: Floats, y: Floats) -> Floats:
    """Place and tilt each image's object; return how much it covers of each pixel, 0 … 1, (BLOCK, H, W)."""
    half = extents / 2
    dx = (x - _uniform(rng, half, 1 - half)) / half
    dy = (y - _uniform(rng, half, 1 - half)) / half
    tilt = _uniform(rng, -_TILT, _TILT)
    u = np.cos(tilt) * dx + np.sin(tilt) * dy
    v = np.cos(tilt) * dy - np.sin(tilt) * dx
    distance = np.empty_like(u)
    for label, signed_distance in enumerate(SHAPES.values()):
        chosen = labels == label
        distance[chosen] = signed_distance(u[chosen], v[chosen])
    return _coverage(distance * half, x.size)


def _gradient(rng: Random, ground: Floats, x: Floats, y: Floats) -> Floats:
    """Return canvases (BLOCK, 3, H, W) of a colour that changes smoothly along a random direction."""
    direction = _uniform(rng, 0.0, 2 * math.pi)
    slope = np.cos(direction) * (x - 0.5) + np.sin(direction) * (y - 0.5)
    change = _random_colours(rng) - 0.5
    return ground[:, :, np.newaxis, np.newaxis] + change[:, :, np.newaxis, np.newaxis] * slope[:, np.newaxis]


def _add_clutter(rng: Random, canvas: Floats, x: Floats, y: Floats) -> None:
    """Paint soft blobs and thin line segments over the canvases, in place."""
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
    """Antialias: a pixel whose centre lies on the outline is half covered. distance: in image widths."""
    return np.clip(0.5 - distance * size, 0, 1)


def _blend(canvas: Floats, colours: Floats, coverage: Floats) -> None:
    """Paint one colour per image, (BLOCK, 3), where coverage, (BLOCK, H, W), is positive; in place."""
    canvas += coverage[:, np.newaxis] * (colours[:, :, np.newaxis, np.newaxis] - canvas)


def _contrasting_colours(rng: Random, ground: Floats) -> Floats:
    """Per image the first of eight random colours far enough from the ground's, or else the farthest."""
    candidates = rng.random((_BLOCK, 8, 3), dtype=np.float32)
    distance = np.sqrt(((candidates - ground[:, np.newaxis]) ** 2).sum(axis=2))
    return candidates[np.arange(_BLOCK), np.minimum(distance, _CONTRAST).argmax(axis=1)]


def _random_colours(rng: Random) -> Floats:
    return rng.random((_BLOCK, 3), dtype=np.float32)


def _uniform(rng: Random, low: float | Floats, high: float | Floats) -> Floats:
    """One number per image, (BLOCK, 1, 1), to broadcast over its pixels."""
    return np.asarray(low + (high - low) * rng.random((_BLOCK, 1, 1), dtype=np.float32))
