"""A stranger's file names reach a terminal with their control characters escaped, whatever command prints them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from agreement import needs_compiler

import minisk as ms
from minisk import models
from minisk.cli import check, main

ESCAPES = "\x1b[31mred\x1b]0;title\x07"  # a colour, and the title of the window
KERNELS = """
// check: <<<1, 64>>> n=32 x[32]
extern "C" __global__ void outside(const int n, float* x) { x[threadIdx.x] = n; }
extern "C" __global__ void untried(const int n, float* x) { x[threadIdx.x] = n; }
int main() { cudaMalloc(0, 0); }
"""
LAYER = "import minisk as ms\ndef wrong(x): return x.nothing()\ndef f(): return wrong, [ms.ones(1)]\n"


def status_of(*arguments: object) -> int | str | None:
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code


def assert_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    shown = "".join(capsys.readouterr())
    assert r"\x1b[31mred\x1b]0;title\x07" in shown and shown.replace("\n", "").replace("\t", "").isprintable()


@needs_compiler
@pytest.mark.parametrize("options", [[], ["--counts", "--picture"]])
def test_findings_name_the_file_without_control_characters(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{ESCAPES}.cu"
    path.write_text(KERNELS)
    assert status_of("check", path, *options) == 1
    assert_escaped(capsys)


def test_an_error_in_a_layer_names_its_file_without_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"{ESCAPES}.py").write_text(LAYER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert status_of("gradcheck", f"{ESCAPES}:f") == 2
    assert_escaped(capsys)


def test_a_converted_file_is_named_without_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / f"{ESCAPES}.safetensors"
    ms.save(models.create("sknet_small").state_dict(), source)
    assert status_of("convert", source, tmp_path / f"new {ESCAPES}.safetensors") == 0
    assert_escaped(capsys)


def test_an_exported_file_is_named_without_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    assert status_of("export", "sknet_small", tmp_path / f"{ESCAPES}.onnx") == 0
    assert_escaped(capsys)


def test_ctrl_c_between_two_launches_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "check_file", interrupted)
    (tmp_path / "k.cu").write_text(KERNELS)
    assert status_of("check", tmp_path / "k.cu") == 130
    assert capsys.readouterr().err == "minisk check: interrupted by Ctrl-C\n"
