"""The system's C++ compiler: which one there is, and a run of it."""

import functools
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Sequence

from ..errors import KernelError


@functools.cache
def find_compiler() -> tuple[str, str]:
    """Return command and version of the C++ compiler: $CXX, which may have arguments, g++, clang++ or c++.

    Raises:
        KernelError: there is none.
    """
    if platform.system() != "Linux":
        raise KernelError(f"kernels are built on Linux only, this is {platform.system()}")
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    commands = [command for command in map(_command, names) if command]
    if not commands:
        raise KernelError(f"no C++ compiler found (looked for {', '.join(names)})")
    command = shlex.join(commands[0])
    try:
        done = subprocess.run(
            [*commands[0], "--version"], capture_output=True, text=True, errors="replace", timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise KernelError(f"the C++ compiler {command} does not run: {error}") from error
    return command, done.stdout.partition("\n")[0]


def _command(text: str) -> list[str]:
    """Return the path and the arguments of a command such as "ccache g++"; empty if there is no such program."""
    path = shutil.which(text)  # a path may contain spaces
    if path is not None:
        return [path]
    try:
        name, *arguments = shlex.split(text)
    except ValueError:  # no words, or a quote that does not end
        return []
    path = shutil.which(name)
    return [path, *arguments] if path is not None else []


def run_compiler(arguments: Sequence[str], folder: str) -> str:
    """Run the compiler; return its error message, or "" if it succeeded.

    It has a session of its own: Ctrl-C at a terminal reaches Python, which decides what ends, and not the compiler.
    """
    command = [*shlex.split(find_compiler()[0]), *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": folder},
        start_new_session=True,
    )
    if done.returncode < 0:
        return f"signal {-done.returncode} ended the compiler\n{done.stderr}".strip()
    return (done.stderr.strip() or f"status {done.returncode}") if done.returncode else ""
