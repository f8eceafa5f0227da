"""`minisk predict IMAGE…`: classify image files with a checkpoint, or with the trained network of the package."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..errors import DataError, MiniskError
from .text import add_command, printable

WEIGHTS = "sknet_small-cifar10"


def add_to(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = add_command(commands, "predict", "classify the central square of image files with a trained network")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="PNG, JPEG, GIF, BMP, WebP, TIFF or PPM, any size")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--draw", metavar="FILE.png", help="draw each image with bars of its most probable classes")
    add_weights(parser)
    parser.set_defaults(run=run)


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a trained network and a device."""
    text = "checkpoint, such as best.safetensors, or the name of a trained network (default: %(default)s)"
    parser.add_argument("--weights", default=WEIGHTS, metavar="FILE", help=text)
    parser.add_argument("--device", default="auto", metavar="{auto,cpu,cuda}", help="default: auto")


def run(arguments: argparse.Namespace) -> int:
    """Print the classes of each image that can be read. Return 1 if one could not be read."""
    if arguments.draw is not None and not arguments.draw.lower().endswith(".png"):
        raise MiniskError(f"--draw {arguments.draw}: expected a name that ends in .png")
    from ..analysis.figures import draw_predictions
    from ..data.decode import read_image
    from ..evaluation import load_classifier

    classifier = load_classifier(arguments.weights, arguments.device)
    image_width = max(len(printable(name)) for name in arguments.images)
    class_width = max(len(printable(name)) for name in classifier.classes)
    answers: list[dict[str, Any]] = []
    drawn: list[tuple[str, Any, list[tuple[str, float]]]] = []
    for name in arguments.images:
        try:
            image = read_image(name)
        except DataError as error:
            print(f"minisk predict: {printable(str(error))}", file=sys.stderr)
            answers.append({"image": name, "error": str(error)})
            continue
        top = classifier.top(image)
        answers.append({"image": name, "top": [{"class": c, "probability": p} for c, p in top]})
        if arguments.draw:
            image.thumbnail((256, 256))  # keeps memory small for many large images
            drawn.append((Path(name).name, image, top))
        if not arguments.json:
            for row, (class_name, probability) in enumerate(top):
                shown = printable(name) if row == 0 else ""
                print(f"{shown:<{image_width}}  {printable(class_name):<{class_width}}  {100 * probability:6.2f} %")
    if arguments.json:
        print(json.dumps(answers, indent=1))
    if drawn:
        draw_predictions(drawn, arguments.draw)
    return int(any("error" in answer for answer in answers))
