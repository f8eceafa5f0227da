"""The command line: `python -m minisk COMMAND`, or `minisk COMMAND` once installed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import __version__
from .errors import MiniskError
from .gradient_check.command import add_command as add_gradcheck_command


def _summary(arguments: argparse.Namespace) -> None:
    from . import models
    from .summary import summarize

    for option in ("num_classes", "size"):
        value = getattr(arguments, option)
        if value is not None and value < 1:
            raise MiniskError(f"--{option.replace('_', '-')} {value} must be at least 1")
    model = models.create(arguments.model, arguments.num_classes)
    size = models.input_size(arguments.model) if arguments.size is None else arguments.size
    print(summarize(model, (3, size, size)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="minisk", description="A small framework that trains SKNet.")
    parser.add_argument("--version", action="version", version=f"minisk {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    summary = commands.add_parser("summary", help="print a model's layers, shapes, parameters and multiply-adds")
    summary.add_argument("model", help="name of a model, such as sknet50")
    summary.add_argument("--num-classes", type=int, help="classes to tell apart (default: the model's own)")
    summary.add_argument("--size", type=int, help="height and width of the image (default: the model's own)")
    summary.set_defaults(run=_summary)
    add_gradcheck_command(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0, or 1 after an error told in a sentence or a check that failed."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments) or 0
    except (MiniskError, OSError) as error:
        print(f"minisk {arguments.command}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
