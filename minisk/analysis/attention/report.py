"""The report on a network's attention: one page of HTML that needs no other file, figures, and the numbers."""

from __future__ import annotations

import html
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import MiniskError
from ...serialization import csv_text
from .figures import Example, Picture, draw_areas, draw_classes, draw_effects, draw_example
from .measure import Measurement
from .statistics import AreaEffect, Comparison, Effect

_STYLE = """
:root{color-scheme:light dark;--back:#ffffff;--ink:#222222;--pale:#e4e4e4}
@media(prefers-color-scheme:dark){:root{--back:#16181c;--ink:#dddddd;--pale:#3a3d42}}
body{background:var(--back);color:var(--ink);font:16px/1.5 system-ui,sans-serif;max-width:62rem;
  margin:2rem auto;padding:0 1rem}
figure{margin:1.5rem 0}figure svg{width:100%;height:auto}figcaption{font-size:.9rem}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums;display:block;overflow-x:auto}
th,td{border-bottom:1px solid var(--pale);padding:.2rem .6rem;text-align:right}
th:first-child,td:first-child{text-align:left}tr.found td{font-weight:600}
"""
_METHOD = """Each image is compared with itself. The interval is a bootstrap over the images. p is the larger of two
sign-flip tests, over the images and over the channels, corrected for the number of units (Holm). A network with random
weights shows effects over the images too, in a random direction in each channel; the second test asks for more than
that. Effect size: mean / standard deviation of the images' changes. Rows in bold have p &lt; 0.01."""


@dataclass(frozen=True)
class AttentionReport:
    """Everything the report shows.

    Attributes:
        network: its name, and whether its weights are random. data: the name of the images.
        classes: names, in label order.
        measured: the values of each image.
        effects: of each comparison and unit.
        areas: of each unit, if areas of objects are known.
        examples: single images.
        shown: positions of the units in the figures of classes and examples.
        notes: further sentences for the page.
    """

    network: str
    data: str
    classes: Sequence[str]
    measured: Measurement
    effects: Sequence[tuple[Comparison, Sequence[Effect]]]
    areas: Sequence[AreaEffect] = ()
    examples: Sequence[Example] = ()
    shown: Sequence[int] = (0,)
    notes: Sequence[str] = field(default=())

    def findings(self) -> list[str]:
        """Return one sentence for each comparison: in how many units the value rises, falls, or shows no effect."""
        return [self._finding(comparison, effects) for comparison, effects in self.effects]

    def _finding(self, comparison: Comparison, effects: Sequence[Effect]) -> str:
        rising = [effect.unit for effect in effects if effect.is_found and effect.mean > 0]
        falling = [effect.unit for effect in effects if effect.is_found and effect.mean < 0]
        parts = [
            f"{word} in {len(names)} ({', '.join(names)})"
            for word, names in (("rises", rising), ("falls", falling))
            if names
        ]
        rest = len(effects) - len(rising) - len(falling)
        parts += [f"shows no effect in {rest}"] if rest else []
        about = f"{comparison.name.capitalize()}, {comparison.scale:g}×: of {len(effects)} units, the value"
        return f"{about} {'; '.join(parts)}."

    def as_json(self) -> dict[str, Any]:
        """Return all numbers of the report as JSON-able objects. An infinite effect size is null."""
        measured = self.measured
        rows = [
            {"comparison": comparison.name, "scale": comparison.scale, **effect._asdict(), "found": effect.is_found}
            for comparison, effects in self.effects
            for effect in effects
        ]
        for row in rows:
            row["effect_size"] = row["effect_size"] if abs(row["effect_size"]) < 1e300 else None
        return {
            "network": self.network,
            "data": self.data,
            "value": measured.value_name,
            "images": len(measured.labels),
            "broken": measured.broken,
            "units": measured.units,
            "effects": rows,
            "areas": [{**effect._asdict(), "found": effect.is_found} for effect in self.areas],
            "findings": self.findings(),
            "seconds": measured.seconds,
            "forward_seconds": measured.forward_seconds,
        }


def write_report(report: AttentionReport, folder: str | Path) -> None:
    """Write index.html, attention.json, effects.csv and the figures, as SVG and PNG, to a new folder.

    The folder appears when it is complete: if the process is stopped before, there is none.

    Raises:
        MiniskError: the folder exists and is not empty; or matplotlib is not installed.
        OSError: it cannot be written.
    """
    target = Path(folder)
    check_folder(target)
    pictures = draw_report(report)
    numbers = report.as_json()
    files = {
        "index.html": _page(report, pictures).encode(),
        "attention.json": json.dumps(numbers, indent=1, ensure_ascii=False).encode(),
        "effects.csv": csv_text(list(numbers["effects"][0]), numbers["effects"]).encode(),
    }
    for name, (picture, _) in pictures.items():
        files |= {f"{name}.svg": picture.svg, f"{name}.png": picture.png}
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.mkdir()
        for name, content in files.items():
            (partial / name).write_bytes(content)
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_folder(folder: Path) -> None:
    """Raise MiniskError if a report can't be written to this folder: it is a file, or a folder with something in it."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MiniskError(f"--out {folder} exists already: remove it, or choose another folder")


def draw_report(report: AttentionReport) -> dict[str, tuple[Picture, str]]:
    """Return each figure of the report, by the name of its file, with its caption."""
    measured, n = report.measured, len(report.measured.labels)
    scales = sorted({comparison.scale for comparison, _ in report.effects})
    caption = (
        "Change of each unit, with its 95 % interval. Filled: found over images and channels. Hollow, without 0 in the"
        " interval: true of this network, but random weights could show as much."
    )
    pictures = {"effects": (draw_effects(report.effects, measured.value_name), caption)}
    for scale in scales:
        picture = draw_classes(measured, report.classes, report.shown, scale)
        caption = f"{measured.value_name.capitalize()} by class, {n:,} images, as in the paper, with the control."
        pictures[f"classes-{scale:g}"] = picture, caption
    for number, example in enumerate(report.examples, start=1):
        picture = draw_example(example, measured.units, report.shown, measured.value_name)
        pictures[f"example-{number}"] = picture, f"{example.name}: one image at {len(example.conditions)} sizes."
    if report.areas:
        caption = "Correlation with the area of the object's box. Filled: found over images and channels."
        pictures["areas"] = draw_areas(report.areas), caption
    return pictures


def _page(report: AttentionReport, pictures: dict[str, tuple[Picture, str]]) -> str:
    measured = report.measured
    title = html.escape(f"Attention of {report.network}")
    lines = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style><h1>{title}</h1>",
        f"<p>{html.escape(report.data)}: {len(measured.labels):,} images, {len(measured.units)} units. "
        f"Value of a unit: {html.escape(measured.value_name)}.</p>",
        *(f"<p>{html.escape(note)}</p>" for note in report.notes),
        "<h2>Findings</h2>",
        f"<ul>{''.join(f'<li>{html.escape(finding)}</li>' for finding in report.findings())}</ul>",
        *(_figure(picture, caption) for picture, caption in pictures.values()),
        f"<h2>Numbers</h2><p>{_METHOD}</p>",
        *(_effect_table(comparison, effects) for comparison, effects in report.effects),
    ]
    if report.areas:
        lines.append(_area_table(report.areas))
    if measured.broken:
        lines.append(f"<h2>Could not be read: {len(measured.broken)} images</h2>")
        lines.append(f"<ul>{''.join(f'<li>{html.escape(reason)}</li>' for reason in measured.broken)}</ul>")
    return "\n".join(lines)


def _figure(picture: Picture, caption: str) -> str:
    return f"<figure>{picture.inline}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _effect_table(comparison: Comparison, effects: Sequence[Effect]) -> str:
    columns = [
        "unit",
        "n",
        "mean",
        "95 % interval",
        "effect size",
        "images rising",
        "classes rising",
        "p images",
        "p channels",
        "p",
    ]
    rows = [
        [
            effect.unit,
            f"{effect.n:,}",
            f"{effect.mean:+.5f}",
            f"{effect.low:+.5f} … {effect.high:+.5f}",
            f"{effect.effect_size:+.2f}",
            f"{100 * effect.rising_images:.0f} %",
            f"{100 * effect.rising_classes:.0f} %",
            *(f"{p:.4f}" for p in (effect.p_images, effect.p_channels, effect.p)),
        ]
        for effect in effects
    ]
    return _table(f"{comparison.name}, {comparison.scale:g}×", columns, rows, [effect.is_found for effect in effects])


def _area_table(effects: Sequence[AreaEffect]) -> str:
    columns = ["unit", "n", "rank correlation", "95 % interval", "p images", "p channels", "p"]
    rows = [
        [
            effect.unit,
            f"{effect.n:,}",
            f"{effect.correlation:+.3f}",
            f"{effect.low:+.3f} … {effect.high:+.3f}",
            *(f"{p:.4f}" for p in (effect.p_images, effect.p_channels, effect.p)),
        ]
        for effect in effects
    ]
    return _table("area of the object", columns, rows, [effect.is_found for effect in effects])


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], found: Sequence[bool]) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        f"<tr{' class=found' if is_found else ''}>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
        for row, is_found in zip(rows, found, strict=True)
    )
    return f"<h3>{html.escape(title)}</h3><table><tr>{head}</tr>{body}</table>"
