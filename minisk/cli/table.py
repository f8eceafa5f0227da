"""`minisk table`: print table 2 of the SKNet paper, with sizes counted from the models here."""

import argparse
from typing import Any


def add_to(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = commands.add_parser("table", help="print the SKNet paper's table of models, with sizes counted here")
    parser.add_argument("--format", choices=["text", "markdown", "csv"], default="text", help="of the table")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the table."""
    from ..analysis.table import as_csv, as_markdown, as_text, count_table

    rows = count_table()
    if arguments.format == "csv":
        print(as_csv(rows), end="")
    else:
        print(as_text(rows) if arguments.format == "text" else as_markdown(rows))
