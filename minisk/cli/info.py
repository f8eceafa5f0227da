"""`minisk info`: versions, devices, threads, compiler, caches and settings, to read first and to send with a question.

The command never fails: a part that cannot be determined says so in its own line.
"""

import argparse
import contextlib
import json
import os
import platform
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..backend import cuda_available, process_settings
from ..runtime import kernel_mode, kernels_in_use
from ..runtime.cache import cache_folder
from ..runtime.compiler import find_compiler
from .text import add_command, show

_VARIABLES = re.compile(r"MINISK_|CUDA_|CUPY_|CXX(FLAGS)?$|[A-Z]+_NUM_THREADS$|VECLIB_MAXIMUM_THREADS$")
_PACKAGES = ["pillow", "safetensors", "tqdm", "matplotlib", "tensorboardX", "onnx"]
_PACKAGES += ["cupy-cuda12x", "cupy-cuda13x", "torch"]


def add_to(commands: Any) -> None:
    """Describe the command's arguments."""
    parser = add_command(commands, "info", "print versions, devices, threads, compiler and caches")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print everything that was found."""
    facts = gather()
    if arguments.json:
        print(json.dumps(facts, indent=1))
        return
    for name, value in facts.items():
        lines = [f"{k} {v}" for k, v in value.items()] if isinstance(value, dict) else value
        show(f"{name:<10} " + (lines if isinstance(lines, str) else f"\n{'':<11}".join(lines) or "none"))


def gather() -> dict[str, Any]:
    """Collect the facts: JSON-able, each a text, a list of texts or a mapping of texts; never raises."""
    parts: dict[str, Callable[[], Any]] = {
        "minisk": lambda: __version__,
        "python": lambda: f"{platform.python_version()} on {platform.platform()}",
        "numpy": lambda: np.__version__,
        "packages": _packages,
        "blas": _blas,
        "devices": _devices,
        "cpus": lambda: f"{os.cpu_count()} in the machine",
        "compiler": lambda: ": ".join(find_compiler()),
        "kernels": _kernels,
        "variables": lambda: {k: v for k, v in os.environ.items() if _VARIABLES.match(k)},
        "caches": _caches,
        "settings": _settings,
    }
    facts = {}
    for name, find in parts.items():
        try:
            facts[name] = find()
        except Exception as error:  # a broken driver or package is what this command is for
            facts[name] = f"unknown ({type(error).__name__}: {error})"
    return facts


def _packages() -> dict[str, str]:
    """Return the versions of installed packages that minisk uses; reads metadata and imports nothing."""
    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _settings() -> list[str]:
    """Return the process-wide settings that minisk makes."""
    return [f"{one.name} = {one.value} (set by {one.set_by}): {one.purpose}" for one in process_settings()]


def _blas() -> str:
    from ..training.blas import blas_core, blas_name, blas_threads

    return f"{blas_name()}, kernels: {blas_core()}, threads: {blas_threads()}"


def _devices() -> list[str]:
    devices = [f"cpu: {platform.machine()}"]
    if cuda_available():
        import cupy

        for index in range(cupy.cuda.runtime.getDeviceCount()):
            about = cupy.cuda.runtime.getDeviceProperties(index)
            devices.append(f"cuda:{index}: {about['name'].decode()}, {about['totalGlobalMem'] / 2**30:.1f} GiB")
    return devices


def _kernels() -> list[str]:
    devices = ("cpu", "cuda") if cuda_available() else ("cpu",)
    return [f"mode {kernel_mode()}: {kernels_in_use(device)}" for device in devices]


def _caches() -> list[str]:
    cupy = Path(os.environ.get("CUPY_CACHE_DIR") or Path.home() / ".cupy" / "kernel_cache")
    return [f"built kernels: {_size(cache_folder())}", f"CuPy's kernels: {_size(cupy)}"]


def _size(folder: Path) -> str:
    """Return the folder's path with the number of its files and their size, in MB of 10⁶ bytes."""
    if not folder.is_dir():
        return f"{folder} (empty)"
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return f"{folder} ({len(sizes)} files, {sum(sizes) / 1e6:.1f} MB)"
