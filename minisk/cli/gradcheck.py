"""`minisk gradcheck PACKAGE.MODULE:FACTORY`: check the function (or Module) and inputs that a factory returns."""

import argparse
import importlib
import inspect
import os
import sys
import traceback
from typing import Any

from ..errors import MiniskError
from ..gradient_check import gradcheck
from ..gradient_check.user_frames import describe_place, user_frames
from .text import add_command, show


def add_to(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = add_command(commands, "gradcheck", "check the gradient of a layer against finite differences")
    parser.add_argument(
        "target", metavar="PACKAGE.MODULE:FACTORY", help="a function that returns what to check: (function, inputs)"
    )
    parser.add_argument("--order", type=int, default=1, help="2 also checks the second derivative (default: 1)")
    parser.add_argument("--dtype", choices=["float64", "float32"], default="float64", help="default: float64")
    modes = "fast: random directions; auto: also elements where these disagree (default); full: every element"
    parser.add_argument("--mode", choices=["auto", "fast", "full"], default="auto", help=modes)
    parser.add_argument("--seed", type=int, default=0, help="seed of the directions and output weights (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--picture", metavar="FILE.png", help="write a heat map of the errors of single elements")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the report; return 0 if the gradient is right, 1 if not, 2 if the user's code raised."""
    try:
        function, inputs = load(arguments.target)
        report = gradcheck(
            function,
            inputs,
            order=arguments.order,
            dtype=arguments.dtype,
            mode=arguments.mode,
            seed=arguments.seed,
            raise_on_failure=False,
        )
    except Exception as error:
        frames = user_frames(error)
        if not frames:
            raise
        show(f"minisk gradcheck: {type(error).__name__} in {describe_place(frames)}: {error}", sys.stderr)
        show("".join(traceback.format_list(frames)).rstrip("\n"), sys.stderr)
        return 2
    show(report.to_json() if arguments.json else report)
    if arguments.picture:
        report.save_picture(arguments.picture)
    return 0 if report.ok else 1


def load(target: str) -> tuple[Any, Any]:
    """Call the factory and return its (function, inputs); modules in the current directory are found too.

    Args:
        target: PACKAGE.MODULE:FACTORY.

    Raises:
        MiniskError: there is no such module or factory, or the factory does not return two values.
    """
    module_name, _, name = target.partition(":")
    if not (module_name and name) or module_name.startswith("."):
        raise MiniskError(f"{target!r} must be PACKAGE.MODULE:FACTORY, such as my_layers:scale")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        factory = getattr(importlib.import_module(module_name), name, None)
    except ModuleNotFoundError as error:
        raise MiniskError(f"{target!r}: {error}") from error
    if not callable(factory):
        raise MiniskError(f"{target!r}: {module_name} has no function {name!r}")
    try:
        inspect.signature(factory).bind()
    except (TypeError, ValueError) as error:  # ValueError: a function in C that has no signature
        raise MiniskError(f"{target!r} must be callable without arguments: {error}") from None
    made = factory()
    if not isinstance(made, tuple) or len(made) != 2:
        raise MiniskError(f"{target!r} must return two values, the function and its inputs, not {type(made).__name__}")
    return made
