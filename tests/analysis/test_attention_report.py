"""The report: complete or absent, needs no other file, and its figures fit a light and a dark page."""

import json
import re

import numpy as np
import pytest

from minisk.analysis.attention import AttentionReport, Comparison, Effect, write_report
from minisk.analysis.attention.figures import Example, draw_areas, smoothed
from minisk.analysis.attention.report import AreaEffect
from minisk.analysis.attention.views import ORIGINAL, Condition
from minisk.errors import MiniskError

ENLARGED = Condition("enlarged", 1.5)


def effect(unit, mean, p):
    return Effect(unit, 12, mean, mean - 0.01, mean + 0.01, float("inf"), 0.75, 0.5, p, p, p)


@pytest.fixture(scope="module")
def report(measurement):
    values = np.random.default_rng(0).uniform(-1, 1, (12, 3, 3))
    measured = measurement(values)
    measured.broken.append("photos/<b>.jpg can't be read as an image: truncated")
    pixels = np.zeros((2, 8, 8, 3), np.uint8)
    example = Example(
        "cat $5 <1>", (ORIGINAL, ENLARGED), pixels, values[0, :2], np.zeros(3), np.full((2, 40), 0.5), "SK_2_2"
    )
    effects = [effect("SK_2_1", 0.2, 0.001), effect("SK_2_2", -0.1, 0.002), effect("SK_2_3", 0.05, 0.2)]
    return AttentionReport(
        network="net & co",
        data="squares",
        classes=("cat",),
        measured=measured,
        effects=[(Comparison("enlarged", 1.5, ENLARGED, ORIGINAL), effects)],
        areas=[AreaEffect("SK_2_1", 12, 0.3, 0.1, 0.5, 0.001, 0.001, 0.003)],
        examples=[example],
        shown=(0, 1, 2),
        notes=["The weights are random."],
    )


@pytest.fixture(scope="module")
def folder(report, tmp_path_factory):
    """The written report."""
    path = tmp_path_factory.mktemp("attention") / "new" / "report"
    write_report(report, path)
    return path


def test_a_finding_counts_the_units_that_rise_fall_or_show_no_effect(report):
    assert report.findings() == [
        "Enlarged, 1.5×: of 3 units, the value rises in 1 (SK_2_1); falls in 1 (SK_2_2); shows no effect in 1."
    ]


def test_the_folder_holds_the_page_the_numbers_and_each_figure_twice(folder):
    figures = {f"{name}.{kind}" for name in ("effects", "classes-1.5", "example-1", "areas") for kind in ("svg", "png")}
    assert {path.name for path in folder.iterdir()} == {"index.html", "attention.json", "effects.csv", *figures}
    assert [path.name for path in folder.parent.iterdir()] == ["report"]
    numbers = json.loads((folder / "attention.json").read_text(encoding="utf-8"))
    assert [row["found"] for row in numbers["effects"]] == [True, True, False]
    assert numbers["effects"][0]["effect_size"] is None  # JSON has no infinity
    assert (numbers["images"], len(numbers["broken"])) == (12, 1)


def test_the_page_needs_no_other_file_and_shows_text_as_text(folder):
    page = (folder / "index.html").read_text(encoding="utf-8")
    references = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert [target for target in references if not target.startswith(("#", "data:"))] == []
    assert "<script" not in page
    assert "net &amp; co" in page
    assert "photos/&lt;b&gt;.jpg" in page
    assert "The weights are random." in page
    assert page.count("<svg") == 4
    assert page.count("<tr class=found>") == 3


def test_a_figure_has_no_background_and_takes_the_colour_of_the_page(folder):
    for path in folder.glob("*.svg"):
        drawing = path.read_text(encoding="utf-8")
        body = drawing.split("</style>", 1)[1]
        assert "#222222" not in body
        assert "currentColor" in body
        assert "prefers-color-scheme:dark" in drawing
        assert "fill: #ffffff" not in body


def test_a_figure_has_the_same_bytes_at_every_run(report, folder):
    assert draw_areas(report.areas).svg == (folder / "areas.svg").read_bytes()


def test_a_folder_that_holds_something_is_refused(report, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(MiniskError, match="exists already: remove it, or choose another folder"):
        write_report(report, tmp_path)
    with pytest.raises(MiniskError, match="exists already"):
        write_report(report, tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_report_that_is_interrupted_while_it_is_written_leaves_nothing(report, tmp_path, monkeypatch):
    def interrupt(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr("minisk.analysis.attention.report.draw_report", lambda report: {})
    monkeypatch.setattr("os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_report(report, tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


def test_channels_are_smoothed_over_sixteen_neighbours():
    values = np.arange(40.0)
    assert smoothed(values) == pytest.approx(np.arange(25) + 7.5)
    assert smoothed(np.arange(4.0)) == pytest.approx([1.5])
