"""`minisk check`, docs/check.md, and a training step with every memory access instrumented."""

from __future__ import annotations

import os
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
from minisk.sanitizer import cases, own_kernel_files

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "check.md").read_text(encoding="utf-8")
SCALE = """#include "common.cuh"
// check: <<<2, 32>>> n=50 x[n] out[n]
extern "C" __global__ void scale(const int n, const real* x, real* out) { GRID_LOOP(int, i, n) out[i] = 2 * x[i]; }
"""


@needs_compiler
def test_every_command_of_the_page_prints_the_output_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert [language for language, _ in blocks].count("") == 5
    for language, text in blocks:
        if language == "text":  # a line by itself: see the next test
            continue
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


def test_the_syntax_that_the_page_explains_is_read(tmp_path: Path) -> None:
    (line,) = re.findall(r"^```text\n(.*)\n```$", PAGE, re.MULTILINE)
    arrays = "const real* x, const int* table, const int* winner, real* total, real* out"
    kernel = f'extern "C" __global__ void syntax(const int n, const int m, {arrays}) {{}}\n'
    (tmp_path / "syntax.cu").write_text(f"{line}\n{kernel}")
    (case,) = cases(tmp_path / "syntax.cu")["syntax"]
    n, m, x, table, winner, _, _ = case.args
    assert (case.grid, case.block, case.dynamic_shared, case.uninitialised) == ((6, 3), (64,), 256, {"out"})
    assert (n, m, len(x), table.tolist(), set(winner)) == (50, 100, 5000, [4, 50, -1], set(range(9)))


@needs_compiler
@pytest.mark.parametrize("file", [path.name for path in own_kernel_files()])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_kernels_of_the_package_are_clean(file: str, dtype: str) -> None:
    assert all(cases(file).values()), "every kernel needs a `check:` line"
    assert main(["check", file, "--dtype", dtype]) == 0


@needs_compiler
def test_a_training_step_of_a_narrow_network_is_clean() -> None:
    """Forward, backward and SGD of an SKNet with every launch checked: a finding would be an error."""
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
        (("out[n]", "out"), "scale.cu:2: scale: out has neither a value (out=5) nor a length (out[5])"),
        (("n=50 ", ""), "scale.cu:2: scale: the argument n has no value; expected n=5, for example"),
        (("x[n]", "x[m]"), "scale.cu:2: scale: the name 'm' has no value here; known names: n"),
        (("<<<2, 32>>>", "<<<2, 32"), "scale.cu:2: scale: expected `<<<grid, block>>> values`, not '<<<2, 32 n=50"),
        (("// check: <<<2, 32>>> n=50 x[n] out[n]\n", ""), "not tried"),
    ],
)
def test_an_incomplete_line_is_an_error_that_names_file_and_line(
    tmp_path: Path, change: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scale.cu").write_text(SCALE.replace(*change))
    with pytest.raises(SystemExit) as end:
        main(["check", str(tmp_path / "scale.cu")])
    assert end.value.code == (3 if message == "not tried" else 2)
    seen = capsys.readouterr()
    assert message in seen.out + seen.err


@needs_compiler
def test_a_path_that_is_not_utf_8_is_compiled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / os.fsdecode(b"a\xff.cu")
    path.write_text('// check: <<<1, 32>>> x[32]\nextern "C" __global__ void k(float* x) { x[threadIdx.x] = 1; }\n')
    assert main(["check", str(path)]) == 0
    assert "k<<<1, 32>>>: clean" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("plain.cu", b"void f(int* x) {}", [], "plain.cu has no kernel: expected `__global__"),
        ("cat.png", b"\x89PNG\r\n\x1a\n\0\xff\xfe", [], "cat.png has no kernel: expected `__global__"),
        ("empty.cu", b"", [], "empty.cu has no kernel: expected `__global__"),
        ("scale.cu", SCALE.encode(), ["--kernel", "foo"], "scale.cu has no kernel 'foo': it has scale"),
        ('a"b.cu', SCALE.encode(), [], "cannot include a path with a quote"),
        ("a\rb.cu", SCALE.encode(), [], "cannot include a path with a quote, \\ or a line end"),
    ],
)
def test_a_file_without_the_kernel_is_an_error(
    name: str, content: bytes, options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SystemExit, match="2"):
        main(["check", str(tmp_path / name), *options])
    assert message in capsys.readouterr().err


@needs_compiler
def test_a_comment_may_be_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "latin.cu").write_bytes("// Größe\n".encode("latin-1") + SCALE.encode())
    assert main(["check", str(tmp_path / "latin.cu")]) == 0


def test_a_missing_file_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["check", "nowhere.cu"])
    assert "kernel file 'nowhere.cu' is neither in" in capsys.readouterr().err
