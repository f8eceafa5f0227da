"""`minisk summary MODEL`: layers, shapes, parameters and multiply-adds."""

import argparse
from typing import Any

from ..errors import MiniskError


def add_to(commands: Any) -> None:
    """Describe the command's arguments."""
    parser = commands.add_parser("summary", help="print a model's layers, shapes, parameters and multiply-adds")
    parser.add_argument("model", help="name of a model, such as sknet50")
    parser.add_argument("--num-classes", type=int, help="classes to tell apart (default: the model's own)")
    parser.add_argument("--size", type=int, help="height and width of the image (default: the model's own)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the table."""
    from .. import models
    from ..summary import summarize

    for option in ("num_classes", "size"):
        value = getattr(arguments, option)
        if value is not None and value < 1:
            raise MiniskError(f"--{option.replace('_', '-')} {value} must be at least 1")
    model = models.create(arguments.model, arguments.num_classes)
    size = models.input_size(arguments.model) if arguments.size is None else arguments.size
    print(summarize(model, (3, size, size)))
