"""The outputs and the table of remedies in docs/layer.md are those of the program."""

import contextlib
import io
import re
from pathlib import Path

from minisk.gradient_check import Verdict

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "layer.md").read_text(encoding="utf-8")


def without_machine_differences(text):
    """Replace rounding errors, and leave out the cost: both differ from machine to machine."""
    text = re.sub(r"^cost: .*\(", "cost (", text, flags=re.MULTILINE)
    return re.sub(r"\d(\.\d)?e[+-]\d\d", "…", text).strip()


def test_every_output_shown_is_printed_by_the_code_above_it():
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    codes = [text for language, text in fences if language == "python"]
    outputs = [text for language, text in fences if language == ""]
    assert len(codes) == len(outputs) == 4
    names = {}
    for code, shown in zip(codes, outputs, strict=True):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, names)
        assert without_machine_differences(printed.getvalue()) == without_machine_differences(shown)


def test_every_verdict_is_listed_with_its_remedy():
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)
    assert dict(rows) == {"verdict": "remedy"} | {verdict.value: verdict.remedy for verdict in Verdict}
