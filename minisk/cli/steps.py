"""`minisk steps`: print an operation's kernels from naive to fast, each proven and counted."""

import argparse
import sys
from typing import Any

from ..sanitizer import climb, ladder_names, ladder_table
from .text import add_command


def add_to(commands: Any) -> None:
    """Describe the command's arguments."""
    parser = add_command(commands, "steps", "show an operation's kernels from naive to fast, each proven and counted")
    parser.add_argument("ladder", choices=[*ladder_names(), "all"], help="which operation")
    parser.add_argument(
        "--dtype", choices=["float16", "float32", "float64"], default="float32", help="the stored dtype, `real`"
    )
    parser.epilog = (
        "Counts: distinct bytes of each block, requests and sectors of global memory, wavefronts of shared memory, "
        "floating-point operations and exponentials. They are no measurement of time."
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the ladder; the exit status is 1 if a step has findings or differs from step 1."""
    names = ladder_names() if arguments.ladder == "all" else [arguments.ladder]
    is_proven = True
    for number, name in enumerate(names):
        ladder = climb(name, dtype=arguments.dtype)
        is_proven = is_proven and all(step.is_proven for step in ladder.steps)
        print(("\n" if number else "") + ladder_table(ladder))
    if not is_proven:
        sys.exit(1)
