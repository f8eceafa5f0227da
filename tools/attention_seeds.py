"""Print one table of several reports of `minisk attention`: `python tools/attention_seeds.py REPORT REPORT …`.

The reports are folders, of the same network trained from several seeds. A cell is the mean change of a unit with its
95 % interval. A cell in bold is larger than chance over images and channels. The last column counts such cells: rises
(+) and falls (-).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def table(reports: Sequence[Mapping[str, Any]]) -> str:
    """Return the effects of reports, each the content of an attention.json, as a table in Markdown.

    Raises ValueError if the reports are of different units or comparisons.
    """
    keys = [[(row["comparison"], row["scale"], row["unit"]) for row in report["effects"]] for report in reports]
    if any(other != keys[0] for other in keys):
        raise ValueError("the reports have different units, comparisons or scales: expected one network, several seeds")
    columns = [f"report {number}, n = {report['images']:,}" for number, report in enumerate(reports, start=1)]
    lines = [f"| comparison | unit | {' | '.join(columns)} | found |", f"|:--|:--|{'--:|' * len(reports)}:--|"]
    for i, (comparison, scale, unit) in enumerate(keys[0]):
        rows = [report["effects"][i] for report in reports]
        cells = " | ".join(map(_cell, rows))
        rising, falling = (sum(row["found"] and sign * row["mean"] > 0 for row in rows) for sign in (1, -1))
        found = ", ".join(f"{count}{sign}" for count, sign in ((rising, "+"), (falling, "-")) if count) or "0"
        lines.append(f"| {comparison}, {scale:g}× | {unit} | {cells} | {found} |")
    return "\n".join(lines)


def _cell(row: Mapping[str, Any]) -> str:
    text = f"{row['mean']:+.5f} ({row['low']:+.5f} … {row['high']:+.5f})"
    return f"**{text}**" if row["found"] else text


def main(folders: Sequence[str]) -> int:
    """Print the table. Return 2 without a folder."""
    if not folders:
        print(__doc__)
        return 2
    print(table([json.loads((Path(folder) / "attention.json").read_text(encoding="utf-8")) for folder in folders]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
