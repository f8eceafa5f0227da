"""`minisk info`: versions, devices, threads, compiler and caches; what to look at first, and to send with a question.

Nothing here may fail: a part that can't be found out says so in its own line.
"""

import argparse
import contextlib
import ctypes
import json
import os
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..backend import cuda_available
from ..runtime import kernel_mode, kernels_in_use
from ..runtime.build import cache_folder, find_compiler

_VARIABLES = re.compile(r"MINISK_|CUDA_|CUPY_|CXX(FLAGS)?$|[A-Z]+_NUM_THREADS$|VECLIB_MAXIMUM_THREADS$")
_THREAD_COUNTS = ("scipy_openblas_get_num_threads64_", "openblas_get_num_threads64_", "openblas_get_num_threads")


def add_to(commands: Any) -> None:
    """Describe the command's arguments."""
    parser = commands.add_parser("info", help="print versions, devices, threads, compiler and caches")
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
        print(f"{name:<10}", lines if isinstance(lines, str) else f"\n{'':<11}".join(lines) or "none")


def gather() -> dict[str, Any]:
    """Collect the facts: JSON-able, each a text, a list of texts or a mapping of texts; never raises."""
    parts: dict[str, Callable[[], Any]] = {
        "minisk": lambda: __version__,
        "python": lambda: f"{platform.python_version()} on {platform.platform()}",
        "numpy": lambda: np.__version__,
        "blas": _blas,
        "devices": _devices,
        "cpus": lambda: f"{os.cpu_count()} in the machine",
        "compiler": lambda: ": ".join(find_compiler()),
        "kernels": _kernels,
        "variables": lambda: {k: v for k, v in os.environ.items() if _VARIABLES.match(k)},
        "caches": _caches,
    }
    facts = {}
    for name, find in parts.items():
        try:
            facts[name] = find()
        except Exception as error:  # a broken driver or package is just what this command is run to see
            facts[name] = f"unknown ({type(error).__name__}: {error})"
    return facts


def _blas() -> str:
    about: Any = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{about.get('name')} {about.get('version')}, threads: {_blas_threads()}"


def _blas_threads() -> int | str:
    """Ask the OpenBLAS that NumPy has loaded; the variables alone do not tell, as it also looks at the machine."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/maps").read_text().splitlines()
        for library in sorted({line.split(maxsplit=5)[-1] for line in lines if "blas" in line}):
            for name in _THREAD_COUNTS:
                with contextlib.suppress(OSError, AttributeError):
                    return int(getattr(ctypes.CDLL(library), name)())
    return "unknown"


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
    return [f"built kernels: {cache_folder()}", f"CuPy's kernels: {cupy}"]
