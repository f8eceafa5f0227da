"""docs/export.md: its programs run."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_a_network_is_exported_and_run_as_the_page_says(tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    run, export, _ = PROGRAMS
    exec(export, {})
    names = {}
    exec(run, names)
    assert names["logits"].shape == (4, 10) and names["classes"] == '["cat", "dog"]'


def test_an_operation_of_ones_own_gets_an_entry_as_the_page_says():
    from minisk.export.onnx_operations import WRITERS

    names = {}
    exec(PROGRAMS[2], names)
    assert WRITERS.pop(names["Square"]) is names["_square"]
