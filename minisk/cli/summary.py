"""`minisk summary MODEL`: print a model's layers, shapes, parameters and multiply-adds."""

import argparse
from typing import Any

from ..serialization import csv_text
from .text import add_command, require_positive


def add_to(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = add_command(commands, "summary", "print a model's layers, shapes, parameters and multiply-adds")
    parser.add_argument("model", nargs="?", help="name of a model, such as sknet50; without it, list them")
    parser.add_argument("--num-classes", type=int, help="number of classes (default: the model's own)")
    parser.add_argument("--size", type=int, help="height and width of the image (default: the model's own)")
    parser.add_argument("--format", choices=["text", "csv"], default="text", help="csv: one line per layer")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the table of layers."""
    from .. import models
    from ..analysis.summary import summarize
    from ..nn import init

    require_positive(arguments, "num_classes", "size")
    if arguments.model is None:
        print("\n".join(models.NAMES))
        return
    about = models.info(arguments.model)
    with init.skipped():
        model = models.create(arguments.model, arguments.num_classes)
    size = about.input_size if arguments.size is None else arguments.size
    summary = summarize(model, (3, size, size), auxiliary=size >= about.smallest_size)
    if arguments.format == "text":
        print(summary)
        return
    rows = [{**row._asdict(), "shape": "×".join(map(str, row.shape))} for row in summary.rows]
    print(csv_text(list(rows[0]), rows), end="")
