"""The command line: `python -m minisk COMMAND`, or `minisk COMMAND` once installed."""

import argparse
from collections.abc import Sequence

from .. import __version__
from . import (
    ablation,
    attention,
    check,
    convert,
    download,
    evaluate,
    export,
    gradcheck,
    info,
    predict,
    scaling,
    shards,
    steps,
    summary,
    table,
)
from .process import run_command


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="minisk", description="A small framework that trains SKNet.")
    parser.add_argument("--version", action="version", version=f"minisk {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    models = (summary, table, predict, evaluate, attention, convert, export, scaling)
    for command in (info, *models, ablation, download, shards, gradcheck, check, steps):
        command.add_to(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0; 1 after a reported error, or a failed check; 130 after Ctrl-C."""
    return run_command("minisk", lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    arguments = _parser().parse_args(argv)
    return run_command(f"minisk {arguments.command}", lambda: arguments.run(arguments))
