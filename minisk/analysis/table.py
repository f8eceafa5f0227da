"""Table 2 of the SKNet paper made anew: sizes counted from minisk's models, beside the paper's figures.

A row needs no arithmetic: its model has no initial weights, and `summarize` runs an empty batch.
"""

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..models import TABLE_2, Published, create, info
from ..nn import init
from ..serialization import csv_text
from .summary import summarize

SIZES = (224, 299, 320)  # of images, in pixels
LEGEND = (
    "Parameters: trained ones. MACs: multiply-adds of convolutions and linear layers, for one image of 224, 299 or "
    "320 pixels. Both are counted from the models of minisk.",
    "Paper, errors: Li et al., Selective Kernel Networks, CVPR 2019, table 2: parameters in millions, multiply-adds in "
    "billions at 224 pixels (Inceptions: 299), top-1 errors in percent on ImageNet.",
    "The paper's multiply-adds also count each element of batch norm in the rows of ResNeXt, Inception-v3, CBAM and "
    "SE, and the select steps in those of SKNet.",
)


class TableRow(NamedTuple):
    """One model of the table.

    parameters, with_statistics: trained values, and these with the running statistics of batch norm.
    macs: multiply-adds of convolutions and linear layers per image, at each of SIZES; with an auxiliary classifier
        where the image is large enough for it.
    published: the paper's figures.
    """

    model: str
    parameters: int
    with_statistics: int
    macs: tuple[int, ...]
    published: Published


def count(name: str) -> TableRow:
    """Return the row of the model with this name. Raises MiniskError if there is no such model."""
    with init.skipped():
        model = create(name)
    about = info(name)
    summaries = [summarize(model, (3, size, size), auxiliary=size >= about.smallest_size) for size in SIZES]
    first = summaries[0]
    macs = tuple(summary.macs for summary in summaries)
    return TableRow(name, first.parameters, first.parameters + first.buffers, macs, about.published)


def count_table() -> list[TableRow]:
    """Return the seventeen rows, in the paper's order."""
    return [count(name) for name in TABLE_2]


def as_csv(rows: Sequence[TableRow]) -> str:
    """Return the table as CSV with a header line."""
    lines = []
    for row in rows:
        macs = {f"macs_{size}": count for size, count in zip(SIZES, row.macs, strict=True)}
        errors = {f"error_{size}": row.published.errors.get(f"ImageNet {size}") for size in (224, 320)}
        lines.append(
            {
                "model": row.model,
                "parameters": row.parameters,
                "parameters_with_statistics": row.with_statistics,
                **macs,
                "paper_parameters_millions": row.published.parameters,
                "paper_gmacs": row.published.gmacs,
                **errors,
                "note": row.published.note,
            }
        )
    return csv_text(list(lines[0]), lines)


def as_text(rows: Sequence[TableRow]) -> str:
    """Return the table as lines of text, with its notes."""
    cells, notes = _cells(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for line in cells:
        numbers = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        lines.append("  ".join([line[0].ljust(widths[0]), *numbers]).rstrip())
    below = [textwrap.fill(text, sum(widths) + 2 * len(widths) - 2) for text in [*LEGEND, *notes]]
    return "\n".join([*lines, "", *below])


def as_markdown(rows: Sequence[TableRow]) -> str:
    """Return the table in Markdown, with its notes."""
    (header, *body), notes = _cells(rows)
    lines = [header, [":--", *["--:"] * (len(header) - 1)], *body]
    table = [f"| {' | '.join(line)} |" for line in lines]
    return "\n\n".join(["\n".join(table), *LEGEND, *notes])


def _cells(rows: Sequence[TableRow]) -> tuple[list[list[str]], list[str]]:
    """Return the cells of the header and of each row, and the numbered notes; equal notes share a number."""
    sizes = [f"MACs at {size}" for size in SIZES]
    cells = [["model", "parameters", "paper, M", *sizes, "paper, G", "error 224", "error 320", "note"]]
    notes: list[str] = []
    for row in rows:
        about = row.published
        if about.note and about.note not in notes:
            notes.append(about.note)
        mark = f"[{notes.index(about.note) + 1}]" if about.note else " "
        counts = [f"{macs:,}" for macs in row.macs]
        errors = [_shown(about.errors.get(f"ImageNet {size}"), 2) for size in (224, 320)]
        paper = _shown(about.parameters, 1), _shown(about.gmacs, 2)
        cells.append([row.model, f"{row.parameters:,}", paper[0], *counts, paper[1], *errors, mark])
    return cells, [f"[{number}] {note}" for number, note in enumerate(notes, start=1)]


def _shown(value: Any, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"
