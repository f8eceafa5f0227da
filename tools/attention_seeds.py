"""Print one table of several reports of `minisk attention`: `python tools/attention_seeds.py REPORT REPORT …`.

The reports are folders, of the same network trained from several seeds. A cell is the mean change of a unit with its
95 % interval. A cell in bold is larger than chance over images and channels. The last column counts such cells: rises
(+) and falls (−). The last rows are rank correlations with the area of the object, where it is known.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


def table(reports: Sequence[Mapping[str, Any]]) -> str:
    """Return the effects of reports, each the content of an attention.json, as a table in Markdown.

    Raises ValueError if the reports are of different units or comparisons.
    """
    effects = [[*map(_effect, report["effects"]), *map(_area, report["areas"])] for report in reports]
    keys = [[row[:2] for row in rows] for rows in effects]
    if any(other != keys[0] for other in keys):
        raise ValueError("the reports have different units, comparisons or scales: expected one network, several seeds")
    columns = [f"{report['network']}, n = {report['images']:,}" for report in reports]
    lines = [f"| comparison | unit | {' | '.join(columns)} | found |", f"|:--|:--|{'--:|' * len(reports)}:--|"]
    for rows in zip(*effects, strict=True):
        cells = " | ".join(map(_cell, rows))
        rising, falling = (sum(row.is_found and sign * row.mean > 0 for row in rows) for sign in (1, -1))
        found = ", ".join(f"{count}{sign}" for count, sign in ((rising, "+"), (falling, "−")) if count) or "0"
        lines.append(f"| {rows[0].comparison} | {rows[0].unit} | {cells} | {found} |")
    return "\n".join(lines)


class _Row(NamedTuple):
    comparison: str
    unit: str
    mean: float
    low: float
    high: float
    is_found: bool


def _effect(effect: Mapping[str, Any]) -> _Row:
    name = f"{effect['comparison']}, {effect['scale']:g}×"
    return _Row(name, effect["unit"], effect["mean"], effect["low"], effect["high"], effect["found"])


def _area(effect: Mapping[str, Any]) -> _Row:
    name = "rank correlation with the area"
    return _Row(name, effect["unit"], effect["correlation"], effect["low"], effect["high"], effect["found"])


def _cell(row: _Row) -> str:
    text = f"{row.mean:+.3f} ({row.low:+.3f} … {row.high:+.3f})".replace("-", "−")
    return f"**{text}**" if row.is_found else text


def main(folders: Sequence[str]) -> int:
    """Print the table. Return 2 without a folder."""
    if not folders:
        print(__doc__)
        return 2
    print(table([json.loads((Path(folder) / "attention.json").read_text(encoding="utf-8")) for folder in folders]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
