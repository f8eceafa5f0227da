"""Text that more than one command prints."""

import argparse
from typing import Any


def add_command(commands: Any, name: str, summary: str) -> argparse.ArgumentParser:
    """Add a subparser whose one-line summary stands in the list of commands and at the top of its own help."""
    sentence = f"{summary[0].upper()}{summary[1:]}."
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=sentence)
    return parser


def printable(text: str) -> str:
    """Return the text, escaped if it holds characters that would move a terminal's cursor or cannot be encoded."""
    return text if text.isprintable() else repr(text)


def flag(setting: str) -> str:
    """Return the command-line flag of a setting, such as --batch-size."""
    return f"--{setting.replace('_', '-')}"
