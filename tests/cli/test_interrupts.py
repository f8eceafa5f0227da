"""Ctrl-C while a command imports NumPy and minisk: no traceback; other programs keep Python's own handler."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Python runs sitecustomize before the program. This one sends Ctrl-C when minisk begins to import NumPy.
CUSTOM = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, SIGINT_AT_START)
sys.meta_path.insert(0, Finder())
"""
SCRIPT = "import sys\nfrom minisk.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n"


def run(folder: Path, command: list[str], at_start: str = "signal.default_int_handler") -> tuple[int, str]:
    """Run a program that gets Ctrl-C during its imports. Returns its status and its stderr."""
    (folder / "sitecustomize.py").write_text(CUSTOM.replace("SIGINT_AT_START", at_start))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", [["-m", "minisk", "info"], ["-mminisk"], ["train_cifar.py"], ["minisk", "info"]])
def test_ctrl_c_during_the_imports_of_a_command_ends_it_without_a_traceback(
    tmp_path: Path, arguments: list[str]
) -> None:
    if arguments[0] == "minisk":  # the script that pip writes
        (tmp_path / "minisk").write_text(SCRIPT)
        arguments = [str(tmp_path / "minisk"), *arguments[1:]]
    assert run(tmp_path, [sys.executable, *arguments]) == (-signal.SIGINT, "")


def test_a_program_that_imports_minisk_gets_keyboard_interrupt(tmp_path: Path) -> None:
    status, error = run(tmp_path, [sys.executable, "-c", "import minisk", "-m", "minisk"])
    assert status == -signal.SIGINT and error.endswith("KeyboardInterrupt\n")


def test_a_command_in_the_background_still_ignores_ctrl_c(tmp_path: Path) -> None:
    assert run(tmp_path, [sys.executable, "-m", "minisk", "--version"], "signal.SIG_IGN") == (0, "")


def test_ctrl_c_is_keyboard_interrupt_again_while_a_command_runs(tmp_path: Path) -> None:
    program = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
from minisk.cli.process import run_command
def work():
    os.kill(os.getpid(), signal.SIGINT)
assert run_command("minisk", work) == 130
assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
"""
    (tmp_path / "train_cifar.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(tmp_path / "train_cifar.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
