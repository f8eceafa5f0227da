"""What docs/layer.md shows is what happens."""

import contextlib
import io
import re
from pathlib import Path

from minisk.gradient_check import Verdict

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "layer.md").read_text(encoding="utf-8")


def steady(text):
    """Leave out what differs from machine to machine: rounding errors and the cost."""
    text = re.sub(r"^cost: .*\(", "cost (", text, flags=re.MULTILINE)
    return re.sub(r"\d(\.\d)?e[+-]\d\d", "…", text).strip()


def test_every_output_shown_is_printed_by_the_code_above_it():
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    codes, outputs = fences[::2], fences[1::2]
    assert len(codes) == len(outputs) == 4
    names = {}
    for (language, code), (_, shown) in zip(codes, outputs, strict=True):
        assert language == "python"
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, names)
        assert steady(printed.getvalue()) == steady(shown)


def test_every_verdict_is_listed_with_its_remedy():
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)
    assert dict(rows) == {"verdict": "remedy"} | {verdict.value: verdict.remedy for verdict in Verdict}
