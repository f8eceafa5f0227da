"""`minisk predict IMAGE… --weights FILE`: the five likeliest classes of image files."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def add_to(commands: Any) -> None:
    """Describe the command's arguments."""
    parser = commands.add_parser("predict", help="tell what a trained network sees in image files")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="PNG, JPEG, GIF, BMP, WebP, TIFF or PPM, any size")
    parser.add_argument("--weights", required=True, metavar="FILE", help="checkpoint, such as best.safetensors")
    parser.add_argument("--draw", metavar="DIR", help="also write each picture with its classes to this folder")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--device", default="auto", metavar="{auto,cpu,cuda}", help="where to compute (default: auto)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Answer for each image that can be read. Returns 1 if one could not."""
    from ..errors import DataError
    from ..pictures import draw_prediction
    from ..predict import load_classifier, read_image

    classifier = load_classifier(arguments.weights, arguments.device)
    if arguments.draw:
        Path(arguments.draw).mkdir(parents=True, exist_ok=True)
    image_width = max(len(printable(name)) for name in arguments.images)
    class_width = max(len(printable(name)) for name in classifier.classes)
    answers: list[dict[str, Any]] = []
    for number, name in enumerate(arguments.images, 1):
        try:
            image = read_image(name)
        except DataError as error:
            print(f"minisk predict: {printable(str(error))}", file=sys.stderr)
            answers.append({"image": name, "error": str(error)})
            continue
        top = classifier.top(image)
        answers.append({"image": name, "top": [{"class": c, "probability": p} for c, p in top]})
        if arguments.draw:
            draw_prediction(image, top, Path(arguments.draw) / f"predicted-{number}-{Path(name).stem[:80]}.png")
        if not arguments.json:
            for row, (class_name, probability) in enumerate(top):
                shown = printable(name) if row == 0 else ""
                print(f"{shown:<{image_width}}  {printable(class_name):<{class_width}}  {100 * probability:6.2f} %")
    if arguments.json:
        print(json.dumps(answers, indent=1))
    return int(any("error" in answer for answer in answers))


def printable(text: str) -> str:
    """Escape a name that would move a terminal's cursor, or that no encoding holds."""
    return text if text.isprintable() else repr(text)
