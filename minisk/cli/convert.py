"""`minisk convert FILE OUT`: turn the weights of another framework into a checkpoint of minisk."""

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import MiniskError
from .text import add_command, printable

_INTERPOLATIONS = ("bilinear", "bicubic")
_LARGEST_LIST = 16 << 20  # bytes of a file of class names


def add_to(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    text = "turn weights of another framework into a checkpoint, for predict, evaluate and --init"
    parser = add_command(commands, "convert", text)
    parser.add_argument("file", metavar="FILE", help=".safetensors, .pth, .npz or .caffemodel")
    parser.add_argument("out", metavar="OUT", help="the checkpoint to write, such as sknet50.safetensors")
    parser.add_argument("--model", metavar="NAME", help="minisk's name (default: found by names and shapes)")
    names = "timm, torchvision, pytorchcv, caffe, attention-module, ResidualAttentionNetwork-pytorch or minisk"
    source = f"who named the arrays: {names} (default: found by the names)"
    parser.add_argument("--source", metavar="NAME", help=source)
    parser.add_argument("--classes", metavar="FILE", help="names of the classes, one a line, in label order")
    pixels = parser.add_argument_group("preprocessing of photographs, where it differs from the source's usual one")
    for name in ("mean", "std"):
        text = f"{name} of each channel, for pixels in 0 … 1"
        pixels.add_argument(f"--{name}", nargs=3, type=float, metavar=("R", "G", "B"), help=text)
    pixels.add_argument("--crop", type=float, metavar="F", help="side of the crop divided by the shorter side")
    pixels.add_argument("--interpolation", choices=_INTERPOLATIONS, help="of the resize")
    pixels.add_argument("--bgr", action="store_true", help="the weights take blue first: make them take red first")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Convert, and print what was found."""
    from .. import models
    from ..interchange import Preprocessing

    if os.path.exists(arguments.out) and os.path.samefile(arguments.file, arguments.out):
        raise MiniskError(f"OUT {arguments.out} is FILE itself: give another name")
    found = models.read_pretrained(arguments.file, arguments.model, arguments.source)
    if found.preprocessing is None:
        raise MiniskError(f"{arguments.file} is a checkpoint of minisk already")
    given = {name: getattr(arguments, name) for name in ("mean", "std", "crop", "interpolation")}
    pixels: Preprocessing = replace(found.preprocessing, **{k: v for k, v in given.items() if v is not None})
    if not 0 < pixels.crop <= 1:
        raise MiniskError(f"--crop {pixels.crop:g} must be above 0 and at most 1")
    if not all(0 < value < 1e6 for value in pixels.std) or not all(abs(value) < 1e6 for value in pixels.mean):
        raise MiniskError(f"--mean {pixels.mean} and --std {pixels.std} must be finite, the latter above 0")
    found = replace(found, preprocessing=pixels)
    if arguments.bgr:
        found = models.with_red_first(found)
    found.network()  # raises if an array does not fit, before anything is written
    names = None if arguments.classes is None else _class_names(arguments.classes)
    models.save_pretrained(found, arguments.out, names, Path(arguments.file).name)
    print(f"{printable(arguments.file)}: {found.model} with the names of {found.source}, {found.classes:,} classes")
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (pixels.mean, pixels.std))
    print(f"pixels: mean {mean}, std {std}; crop {pixels.crop:g}, {pixels.interpolation}")
    if found.note and arguments.mean is None:
        print(f"note: {found.note}")
    print(f"written: {printable(arguments.out)}")


def _class_names(path: str) -> list[str]:
    try:
        size = os.path.getsize(path)
        if not os.path.isfile(path) or size > _LARGEST_LIST:
            raise MiniskError(f"--classes {path} has {size:,} bytes, expected a text file of at most {_LARGEST_LIST:,}")
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise MiniskError(f"--classes {path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MiniskError(f"--classes {path} is not text in UTF-8") from error
