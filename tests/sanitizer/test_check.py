"""`minisk check`, docs/check.md, and a whole training step with every access to memory watched."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler

import minisk as ms
from minisk import ops
from minisk.__main__ import main
from minisk.analysis.summary import summarize
from minisk.models import SKUnit
from minisk.models.sknet import ResidualNet, Stage, cifar_stem
from minisk.optim import SGD
from minisk.runtime.signature import PACKAGE
from minisk.sanitizer.cases import cases

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "check.md").read_text(encoding="utf-8")
SCALE = """#include "common.cuh"
// check: <<<2, 32>>> n=50 x[n] out[n]
extern "C" __global__ void scale(const int n, const real* x, real* out) { GRID_LOOP(int, i, n) out[i] = 2 * x[i]; }
"""


@needs_compiler
def test_every_output_of_the_page_is_what_its_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert sum(language == "" for language, _ in blocks) == 5
    for language, text in blocks:
        if language == "cuda":
            name = re.match(r"// (\w+\.cu):", text)
            assert name is not None
            Path(name[1]).write_text(text, encoding="utf-8")
            continue
        command, _, shown = text.partition("\n")
        arguments = command.split()
        assert arguments[:3] == ["$", "minisk", "check"]
        try:
            main(arguments[2:])
        except SystemExit as end:
            assert end.code == 1
        assert capsys.readouterr().out == shown


@needs_compiler
@pytest.mark.parametrize("file", sorted(path.name for path in PACKAGE.glob("*.cu")))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_kernels_of_the_package_are_clean(file: str, dtype: str) -> None:
    assert all(cases(file).values()), "each kernel says with what sizes it is to be tried"
    assert main(["check", file, "--dtype", dtype]) == 0


@needs_compiler
def test_a_training_step_of_a_narrow_network_is_clean() -> None:
    """Forward, backward and SGD of an SKNet whose every launch is watched: a finding would be an error."""
    ms.manual_seed(0)

    def unit(in_channels: int, width: int, out_channels: int, stride: int, project: bool) -> SKUnit:
        return SKUnit(in_channels, width, out_channels, stride, project, [(3, 1, 2), (3, 2, 2)], L=8)

    model = ResidualNet(cifar_stem(8), 8, [Stage(8, 16, 1, 1), Stage(16, 32, 1, 2)], unit, 10)
    assert summarize(model, (3, 16, 16)).macs * 4 < 3e6
    rng = np.random.default_rng(0)
    x, y = ms.tensor(rng.standard_normal((4, 3, 16, 16), np.float32)), ms.tensor(rng.integers(0, 10, 4))
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    with kernel_mode("check"):
        for _ in range(2):
            loss = ops.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[1] < losses[0]


@needs_compiler
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("out[n]", "out"), "an array a length"),
        (("n=50 ", ""), "says nothing of 'n'"),
        (("x[n]", "x[m]"), "name 'm' is not defined"),
        (("<<<2, 32>>>", "<<<2, 32"), "not tried"),
        (("// check: <<<2, 32>>> n=50 x[n] out[n]\n", ""), "not tried"),
    ],
)
def test_a_line_that_says_too_little_is_told(
    tmp_path: Path, change: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scale.cu").write_text(SCALE.replace(*change))
    try:
        assert main(["check", str(tmp_path / "scale.cu")]) == 1
    except SystemExit as end:
        assert end.code == 1
    seen = capsys.readouterr()
    assert message in seen.out + seen.err


def test_a_file_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "nowhere.cu"]) == 1
    assert "kernel file 'nowhere.cu' is neither in" in capsys.readouterr().err
