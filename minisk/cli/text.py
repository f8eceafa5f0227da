"""Text that more than one command prints."""

import argparse
from typing import Any

from ..errors import MiniskError


def add_command(commands: Any, name: str, summary: str) -> argparse.ArgumentParser:
    """Add a subparser whose one-line summary stands in the list of commands and at the top of its own help."""
    sentence = f"{summary[0].upper()}{summary[1:]}."
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=sentence)
    return parser


def require_positive(arguments: argparse.Namespace, *settings: str) -> None:
    """Raise MiniskError, naming the flag, if a setting that was given is below 1."""
    for name in settings:
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise MiniskError(f"{flag(name)} {value} must be at least 1")


def printable(text: str) -> str:
    """Return the text, escaped if it holds characters that would move a terminal's cursor or cannot be encoded."""
    return text if text.isprintable() else repr(text)


def flag(setting: str) -> str:
    """Return the command-line flag of a setting, such as --batch-size."""
    return f"--{setting.replace('_', '-')}"
