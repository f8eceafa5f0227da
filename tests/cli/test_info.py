"""`minisk info`: it finds what is there, says what is not, and never fails, however broken the machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minisk
from minisk.__main__ import main
from minisk.cli import info
from minisk.runtime import why_no_kernels
from minisk.runtime.build import find_compiler

REPOSITORY = Path(__file__).parents[2]
NAMES = [
    "minisk",
    "python",
    "numpy",
    "packages",
    "blas",
    "devices",
    "cpus",
    "compiler",
    "kernels",
    "variables",
    "caches",
    "settings",
]


@pytest.fixture(autouse=True)
def look_again():
    """Each test has a compiler of its own, or none."""
    find_compiler.cache_clear()
    why_no_kernels.cache_clear()
    yield
    find_compiler.cache_clear()
    why_no_kernels.cache_clear()


def in_subprocess(*arguments, **environment):
    command = [sys.executable, "-W", "error", "-m", "minisk", *arguments]
    given = {**os.environ, **environment}
    return subprocess.run(command, cwd=REPOSITORY, env=given, capture_output=True, text=True, timeout=120)


def test_json_has_every_fact_and_the_true_versions(capsys):
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert list(facts) == NAMES
    assert (facts["minisk"], facts["numpy"]) == (minisk.__version__, np.__version__)
    assert facts["devices"][0].startswith("cpu")
    assert not any("unknown (" in str(value) for value in facts.values())


def test_the_lines_say_the_same(capsys):
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line[0] != " "] == NAMES
    assert all(len(line) > 11 for line in lines)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_threads_of_blas_are_those_it_really_uses(threads):
    if len(os.sched_getaffinity(0)) < 2 or "openblas" not in info.gather()["blas"]:
        pytest.skip("needs OpenBLAS and two processors")
    done = in_subprocess("info", "--json", OPENBLAS_NUM_THREADS=threads)
    facts = json.loads(done.stdout)
    assert facts["blas"].endswith(f"threads: {threads}")
    assert facts["variables"]["OPENBLAS_NUM_THREADS"] == threads


@pytest.mark.parametrize("given", [None, "26"])
def test_blas_is_asked_to_let_go_of_processors_before_numpy_is_loaded(given):
    code = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            print(os.environ.get("OPENBLAS_THREAD_TIMEOUT"))
sys.meta_path.insert(0, Watch())
import minisk
"""
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_THREAD_TIMEOUT"}
    environment |= {} if given is None else {"OPENBLAS_THREAD_TIMEOUT": given}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [given or "20"]


def test_info_lists_only_variables_that_minisk_reads(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # MINISK_CACHE=1 is a folder in the working directory
    for name in ("MINISK_CACHE", "CUDA_VISIBLE_DEVICES", "CXX", "OMP_NUM_THREADS", "SECRET_TOKEN", "CXXFLAGS_MINE"):
        monkeypatch.setenv(name, "1")
    found = info.gather()["variables"]
    assert {"MINISK_CACHE", "CUDA_VISIBLE_DEVICES", "CXX", "OMP_NUM_THREADS"} <= set(found)
    assert not {"SECRET_TOKEN", "CXXFLAGS_MINE"} & set(found)


def test_without_a_compiler_it_says_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    facts = info.gather()
    assert facts["compiler"] == "unknown (KernelError: no C++ compiler found (looked for g++, clang++, c++))"
    assert facts["kernels"] == [
        "mode auto: the formulas, in NumPy (no C++ compiler found (looked for g++, clang++, c++))"
    ]


def test_the_compiler_named_by_cxx_comes_first(monkeypatch, tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("#!/bin/sh\necho my compiler 7\n")
    mine.chmod(0o755)
    monkeypatch.setenv("CXX", str(mine))
    assert info.gather()["compiler"] == f"{mine}: my compiler 7"


@pytest.mark.parametrize(
    ("target", "error", "part"),
    [
        ("platform.python_version", ValueError("odd"), "python"),
        ("numpy.show_config", KeyError("blas"), "blas"),
        ("minisk.cli.info.cuda_available", RuntimeError("driver too old"), "devices"),
        ("pathlib.Path.home", RuntimeError("no home"), "caches"),
    ],
)
def test_a_part_that_cannot_be_determined_is_reported_in_its_own_line(monkeypatch, capsys, target, error, part):
    def fail(*arguments, **options):
        raise error

    monkeypatch.delenv("CUPY_CACHE_DIR", raising=False)
    monkeypatch.setenv("CXX", sys.executable)  # some program that is surely there
    monkeypatch.setattr(target, fail)
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts[part].startswith(f"unknown ({type(error).__name__}")
    assert list(facts) == NAMES


def test_a_cupy_that_cannot_be_imported_does_no_harm(tmp_path):
    (tmp_path / "cupy.py").write_text("raise RuntimeError('built for another CUDA')")
    done = in_subprocess("info", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "devices" in done.stdout


def test_info_lists_the_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path))
    assert info.gather()["caches"][-1] == f"CuPy's kernels: {tmp_path} (0 files, 0.0 MB)"


def test_info_reports_a_compiler_that_does_not_run(monkeypatch):
    monkeypatch.setenv("CXX", "false")
    assert "does not run" in info.gather()["compiler"]


def test_a_terminal_that_knows_only_ascii_gets_escapes_not_a_traceback():
    done = in_subprocess("summary", "sknet_small", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "") and "\\xd7" in done.stdout
