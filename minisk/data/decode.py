"""Decode untrusted image files to one form: upright, 8-bit RGB.

Pillow's `Image.open` is not used. Its limit on pixels is a warning, and Python can only silence or raise a warning for
the whole process, other threads included. Here the size is compared with a limit before any pixel is decoded.
"""

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from ..errors import DataError, MiniskError, escaped
from .views import Random, View

log = logging.getLogger("minisk")

# Pillow knows more. One is PostScript, which it passes to another program to run.
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
MAX_PIXELS = 40_000_000  # decoding takes up to 16 bytes of memory a pixel
MAX_JPEG_PIXELS = 250_000_000  # a JPEG is decoded at 1/2, 1/4 or 1/8 of its sides; phones take 200 million pixels
_ORIENTATION = ExifTags.Base.Orientation
_LONGEST_SIGNATURE = 16  # bytes at the start of a file that Pillow's plugins compare


def read_image(path: str | Path, size: tuple[int, int] | None = None) -> Any:
    """Read a file as an upright Pillow image, 8-bit RGB.

    Alpha lies over white, 16 bits are rounded to 8, and an animation is its first frame. A JPEG of more than 40 million
    pixels is reduced by a power of two while it is decoded.

    Args:
        path: a file in one of seven formats.
        size: the width and height that the image must have; if it has others, no pixel is decoded.

    Raises:
        DataError: the path is no regular file; or the file is no image, is damaged, has too many pixels or another
            size.
    """
    with _checked(path, size=size) as image:
        _reduce(image)
        if getattr(image, "is_animated", False):
            log.warning("%s has several frames: only the first is read", escaped(str(path)))
        result = _as_rgb(path, image)
        if size is not None and result.size != size:  # the camera's orientation exchanged width and height
            raise _wrong_size(path, result.size, size)
        return result


def read_view(path: str | Path, view: View, rng: Random, content: bytes | None = None) -> NDArray[np.uint8]:
    """Read a view of a photograph as RGB planes, uint8 (3, size, size).

    Only what the view needs is decoded and resized (bicubic), otherwise as `read_image` does.

    Args:
        path: a file; with content, the name of a file for errors.
        view: chooses the box, given the upright width and height.
        rng: for the view's random choice.
        content: the file's bytes, if they have been read already.

    Raises:
        DataError: as `read_image`.
    """
    with _checked(path, content) as image:
        is_turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
        width, height = image.size[::-1] if is_turned else image.size
        left, top, right, bottom = view.box(width, height, rng)
        least = min(right - left, bottom - top)
        _reduce(image, view.size / least if view.reduces else 1.0)
        upright = _as_rgb(path, image)
        across, down = upright.width / width, upright.height / height
        box = left * across, top * down, min(right * across, upright.width), min(bottom * down, upright.height)
        return np.ascontiguousarray(np.asarray(view.cut(upright, box)).transpose(2, 0, 1))


def has_several_frames(path: str | Path) -> bool:
    """Return whether a file is an animation; False for one that can't be read, which decoding reports."""
    try:
        with _checked(path) as image:
            return bool(getattr(image, "is_animated", False))
    except DataError:
        return False


@contextmanager
def _checked(path: str | Path, content: bytes | None = None, size: tuple[int, int] | None = None) -> Iterator[Any]:
    """Yield the image of a file, with its header read and its size checked. Every exception becomes a DataError."""
    try:
        if content is None and not os.path.isfile(path):  # reading a pipe or a device could wait for ever
            raise DataError(f"{path} {_why_no_file(path)}")
        with _opened(path, content) as image:
            _check_size(path, image, size)
            yield image
    except MiniskError:
        raise
    except Exception as error:  # a decoder of untrusted bytes may raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} can't be read as an image: {reason}") from error


def _why_no_file(path: str | Path) -> str:
    try:
        os.stat(path)
    except FileNotFoundError:
        return "is a link to a file that does not exist" if os.path.islink(path) else "does not exist"
    except (OSError, ValueError) as error:  # a name that is too long, for example
        return f"can't be read: {getattr(error, 'strerror', None) or error}"
    return "is not a regular file"


def _opened(path: str | Path, content: bytes | None) -> Any:
    """Return the image of a file, with its header read. Raises DataError, and whatever a plugin of Pillow raises."""
    if content is None:
        with open(path, "rb") as file:
            start = file.read(_LONGEST_SIGNATURE)
    else:
        start = content[:_LONGEST_SIGNATURE]
    Image.preinit()
    for name in _FORMATS:
        if name not in Image.OPEN:
            Image.init()
        plugin: Any
        plugin, accepts = Image.OPEN[name]
        accepted = accepts is not None and accepts(start)  # or a text: the format is missing in this build of Pillow
        if isinstance(accepted, str):
            raise DataError(f"{path} can't be read as an image: {accepted}")
        if accepted:
            return plugin(os.fspath(path) if content is None else io.BytesIO(content))
    raise DataError(f"{path} can't be read as an image: cannot identify it as {', '.join(_FORMATS)}")


def _check_size(path: str | Path, image: Any, size: tuple[int, int] | None) -> None:
    """Raise DataError if width and height, which the header gives, are not those expected or exceed the limits."""
    if size is not None and sorted(image.size) != sorted(size):
        raise _wrong_size(path, image.size, size)
    if min(image.size) < 1:
        raise DataError(f"{path} can't be read as an image: it is {image.width} by {image.height} pixels")
    limit = MAX_JPEG_PIXELS if _is_reducible(image) else MAX_PIXELS
    if image.width * image.height > limit:
        raise DataError(f"{path} is {image.width} by {image.height} pixels, expected at most {limit:,} in all")


def _wrong_size(path: str | Path, found: tuple[int, int], expected: tuple[int, int]) -> DataError:
    return DataError(f"{path} is {found[0]} by {found[1]} pixels, expected {expected[0]} by {expected[1]}")


def _is_reducible(image: Any) -> bool:
    # A progressive JPEG is kept whole in memory while it is decoded, whatever the reduction.
    return image.format in ("JPEG", "MPO") and not image.info.get("progressive")


def _reduce(image: Any, least_share: float = 1.0) -> None:
    """Let a JPEG be decoded at 1/2, 1/4 or 1/8 of its sides.

    Args:
        image: nothing of it is decoded yet.
        least_share: of the sides that must be left; 1 reduces only an image of more than MAX_PIXELS.
    """
    width, height = image.size
    factor = 1
    while factor < 8 and (1 / factor >= 2 * least_share or (width // factor) * (height // factor) > MAX_PIXELS):
        factor *= 2
    if factor > 1:
        image.draft(None, (width // factor, height // factor))


def _as_rgb(path: str | Path, image: Any) -> Any:
    if image.mode == "F":
        raise DataError(f"{path} holds floating-point pixels of unknown range, expected 8 or 16 bits")
    ImageOps.exif_transpose(image, in_place=True)  # in place: a copy of 40 million pixels is 160 MB
    if image.mode.startswith("I"):
        return _from_16_bits(path, image)
    if image.has_transparency_data:
        over_white = Image.new("RGBA", image.size, "white")
        over_white.alpha_composite(image if image.mode == "RGBA" else image.convert("RGBA"))
        return over_white.convert("RGB")
    return image.convert("RGB")


def _from_16_bits(path: str | Path, image: Any) -> Any:
    """Round grey values of 16 bits to 8. Pillow would clip them: every value above 255 would become white."""
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise DataError(f"{path} holds pixels of 32 bits from {low} to {high}, expected 0 to 65535")
    grey = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey).convert("RGB")
