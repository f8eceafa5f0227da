"""Text that more than one command prints."""

import argparse
from typing import Any, TextIO

from ..errors import MiniskError, visible

# A power of ten far above every use. 2,048 channels of its square are 2·10¹⁷ numbers, whose bytes an int64 counts.
MOST = 10_000_000


def add_command(commands: Any, name: str, summary: str) -> argparse.ArgumentParser:
    """Add a subparser whose one-line summary stands in the list of commands and at the top of its own help."""
    sentence = f"{summary[0].upper()}{summary[1:]}."
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=sentence)
    return parser


def require_positive(arguments: argparse.Namespace, *settings: str) -> None:
    """Raise MiniskError, naming the flag, if a setting that was given is below 1, or too large for an array."""
    for name in settings:
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise MiniskError(f"{flag(name)} {value} must be at least 1")
        if value is not None and value > MOST:
            raise MiniskError(f"{flag(name)} {value} must be at most {MOST:,}")


def show(text: object, stream: TextIO | None = None) -> None:
    """Print lines that may hold a stranger's names, such as a file's, with escapes for what moves a terminal's cursor.

    stream: by default stdout.
    """
    print(visible(str(text)), file=stream)


def printable(text: str) -> str:
    """Return the text, escaped if it holds characters that would move a terminal's cursor or cannot be encoded."""
    return text if text.isprintable() else repr(text)


def flag(setting: str) -> str:
    """Return the command-line flag of a setting, such as --batch-size."""
    return f"--{setting.replace('_', '-')}"
