"""The code of docs/cuda.md prints the output that the page shows."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest
from agreement import needs_compiler

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cuda.md").read_text(encoding="utf-8")


@needs_compiler
def test_the_code_prints_every_output_that_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINISK_KERNELS", "auto")
    (language, kernels), *rest = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert language == "cuda" and len(rest) == 10
    Path("prelu.cu").write_text(kernels, encoding="utf-8")
    names: dict[str, Any] = {}
    for (language, code), (_, shown) in zip(rest[0::2], rest[1::2], strict=True):
        assert language == "python"
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, names)
        assert printed.getvalue() == shown
