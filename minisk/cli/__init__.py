"""The command line: `python -m minisk COMMAND`, or `minisk COMMAND` once installed."""

import argparse
import io
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import MiniskError
from . import check, download, evaluate, gradcheck, info, predict, summary


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="minisk", description="A small framework that trains SKNet.")
    parser.add_argument("--version", action="version", version=f"minisk {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (info, summary, predict, evaluate, download, gradcheck, check):
        command.add_to(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0; 1 after a reported error, or a failed check; 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # an ASCII terminal gets \xd7 for ×, not a traceback
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return int(arguments.run(arguments) or 0)
    except KeyboardInterrupt:
        return 130
    except (MiniskError, OSError) as error:
        print(f"minisk {arguments.command}: {error}", file=sys.stderr)
        return 1
