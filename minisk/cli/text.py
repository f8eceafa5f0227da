"""Text for terminals and files that more than one command prints."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def printable(text: str) -> str:
    """Return the text, escaped if it holds characters that would move a terminal's cursor or cannot be encoded."""
    return text if text.isprintable() else repr(text)


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a header line; None becomes an empty field."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def flag(setting: str) -> str:
    """Return the command-line flag of a setting, such as --batch-size."""
    return f"--{setting.replace('_', '-')}"
