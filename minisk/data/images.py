"""Image files, from whoever made them, as pictures of one kind: upright, RGB, 8 bits."""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ..errors import DataError, MiniskError

log = logging.getLogger("minisk")

# Pillow knows more: PostScript among them, which it hands to another program to run.
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")


def read_image(path: str | Path) -> Any:
    """Read a file as an upright Pillow image, 8-bit RGB: alpha over white, 16 bits rounded, the first frame.

    Raises DataError if it is no regular file, no image, damaged, or larger than Pillow's limit of 89 million pixels.
    """
    file = Path(path)
    if not file.is_file():  # a pipe or a device would be waited for, or read, for ever
        raise DataError(f"{path} {'is not a regular file' if file.exists() else 'does not exist'}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, which no pixel depends on
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=_FORMATS) as image:
                if getattr(image, "is_animated", False):
                    log.warning("%s has several frames: only the first is looked at", path)
                return _as_rgb(image)
    except MiniskError:
        raise
    except Exception as error:  # a decoder given a stranger's bytes may raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} can't be read as an image: {reason}") from error


def _as_rgb(image: Any) -> Any:
    if image.mode == "F":
        raise DataError(f"{image.filename} holds floating-point pixels of unknown range, expected 8 or 16 bits")
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        # Pillow would clip 16 bits to 8: everything but black would become white.
        return Image.fromarray((np.clip(np.asarray(upright), 0, 65535) / 257).round().astype(np.uint8)).convert("RGB")
    if upright.has_transparency_data:
        over_white = Image.new("RGBA", upright.size, "white")
        over_white.alpha_composite(upright.convert("RGBA"))
        return over_white.convert("RGB")
    return upright.convert("RGB")
