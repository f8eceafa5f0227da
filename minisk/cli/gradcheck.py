"""`minisk gradcheck PACKAGE.MODULE:FACTORY`: the factory returns a function (or Module) and its inputs."""

import argparse
import importlib
import os
import sys
import traceback
from typing import Any

from ..errors import MiniskError
from ..gradient_check.checker import gradcheck
from ..gradient_check.probes import place, users_frames


def add_to(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = commands.add_parser("gradcheck", help="check the gradient of a layer against finite differences")
    parser.add_argument("target", metavar="PACKAGE.MODULE:FACTORY", help="returns the function and its inputs")
    parser.add_argument("--order", type=int, default=1, help="2: the gradient's gradient too (default: 1)")
    parser.add_argument("--dtype", choices=["float64", "float32"], default="float64")
    parser.add_argument("--mode", choices=["auto", "fast", "full"], default="auto", help="full: every element")
    parser.add_argument("--seed", type=int, default=0, help="of directions and output weights (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--picture", metavar="FILE.png", help="write a heat map of the errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the report. Returns 0 if the gradient is right, 1 if not, 2 if the user's code raised."""
    options = {name: getattr(arguments, name) for name in ("order", "dtype", "mode", "seed")}
    try:
        report = gradcheck(*load(arguments.target), raise_on_failure=False, **options)
    except Exception as error:
        frames = users_frames(error)
        if not frames:
            raise
        print(f"minisk gradcheck: {type(error).__name__} in {place(frames)}: {error}", file=sys.stderr)
        print(*traceback.format_list(frames), sep="", end="", file=sys.stderr)
        return 2
    print(report.to_json() if arguments.json else report)
    if arguments.picture:
        report.save_picture(arguments.picture)
    return 0 if report.ok else 1


def load(target: str) -> tuple[Any, Any]:
    """Call the factory that PACKAGE.MODULE:FACTORY names; modules in the current directory are found too."""
    module_name, _, name = target.partition(":")
    if not (module_name and name):
        raise MiniskError(f"{target!r} must be PACKAGE.MODULE:FACTORY, such as my_layers:scale")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        factory = getattr(importlib.import_module(module_name), name, None)
    except ModuleNotFoundError as error:
        raise MiniskError(f"{target!r}: {error}") from error
    if not callable(factory):
        raise MiniskError(f"{target!r}: {module_name} has no function {name!r}")
    made = factory()
    if not isinstance(made, tuple) or len(made) != 2:
        raise MiniskError(f"{target!r} must return two things, the function and its inputs, not {type(made).__name__}")
    return made
