"""Builds kernel files with the system's C++ compiler, and keeps what it built in a folder private to the user.

An entry is named by everything that decides its content: source, headers, compiler, flags, the processor's features.
It ends in its own SHA-256, so that one cut short or damaged is seen before it is loaded, and built again.
"""

import functools
import hashlib
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import KernelError
from .signature import PACKAGE, signatures

log = logging.getLogger(__name__)

HEADERS = Path(__file__).resolve().parent / "include"
_BASE = ["-x", "c++", "-std=c++17", "-fPIC", "-g1", "-w", "-fno-strict-aliasing"]
# One thread a block: sums may be reassociated, so that they vectorise; NaN and infinity keep their meaning.
_FAST = ["-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fassociative-math", "-fno-signed-zeros"]
FLAGS = {
    "cpu": ["-DMINISK_ONE_THREAD", *_FAST, "-fopenmp"],
    "threads": ["-DMINISK_FIBERS", "-O2"],
    # Instrumented as for ThreadSanitizer, whose functions include/checker.h then supplies itself; registers that
    # nothing was written to hold a pattern.
    "check": ["-DMINISK_FIBERS", "-DMINISK_CHECK", "-O1", "-g", "-fsanitize=thread", "-ftrivial-auto-var-init=pattern"],
}
_DIGEST = 32


@functools.cache
def find_compiler() -> tuple[str, str]:
    """Return path and version of the C++ compiler: $CXX, g++, clang++ or c++. Raises KernelError if there is none."""
    if platform.system() != "Linux":
        raise KernelError(f"kernels are built on Linux only, this is {platform.system()}")
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        raise KernelError(f"no C++ compiler found (looked for {', '.join(names)})")
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise KernelError(f"the C++ compiler {path} does not run: {error}") from error
    return path, done.stdout.partition("\n")[0]


def build(source: Path, mode: str, defines: Sequence[str]) -> Path:
    """Return a shared library with the kernels of `source`, built if it is not in the cache yet.

    mode: a key of FLAGS; defines: like "REAL=float". Raises KernelError with the compiler's message.
    """
    flags = [*FLAGS[mode], *(f"-D{define}" for define in defines)]
    library = cache_folder() / f"{source.stem}-{mode}-{_key(source, flags)}.so"
    if not _is_whole(library):
        _say(f"building {source.name} for the CPU ({' '.join([mode, *defines])}); kept in {library.parent}")
        unit = f'#include "cuda_on_cpu.h"\n#include "{source}"\n'
        unit += "".join(f"MINISK_EXPORT({name})\n" for name in signatures(source))
        _compile(unit, flags, library)
    return library


def cache_folder() -> Path:
    """Return the folder of built kernels, made if need be: $MINISK_CACHE, or minisk in the user's cache folder.

    Only its owner may write there, since what lies there is run; where that can't be had, a temporary folder serves.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("MINISK_CACHE") or Path(base) / "minisk") / "kernels"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)  # raises for a folder of somebody else's
    except OSError as error:
        return _temporary_folder(f"{folder} can't be used ({error})")
    return folder if os.access(folder, os.W_OK) else _temporary_folder(f"{folder} can't be written")


@functools.cache
def _temporary_folder(reason: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="minisk-kernels-"))
    log.warning("built kernels are kept in %s for this process only: %s", folder, reason)
    return folder


def _key(source: Path, flags: list[str]) -> str:
    compiler = [*find_compiler(), *_BASE, *flags, _processor()]
    texts = [str(source), source.read_text(encoding="utf-8"), *_headers(), *compiler]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]


@functools.cache
def _headers() -> tuple[str, ...]:
    return tuple(path.read_text(encoding="utf-8") for path in sorted([*PACKAGE.glob("*.cuh"), *HEADERS.glob("*.h")]))


@functools.cache
def _processor() -> str:
    """What -march=native looks at: a home directory may be shared by machines that differ."""
    features = re.search(r"^(flags|Features).*", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return platform.machine() + (features[0] if features else "")


def _compile(unit: str, flags: list[str], library: Path) -> None:
    """Compile the unit and move it into place whole: of two processes that build at once, the later one wins."""
    with tempfile.TemporaryDirectory(dir=library.parent, prefix="build-") as folder:
        text, built = Path(folder) / "unit.cpp", Path(folder) / library.name
        text.write_text(unit, encoding="utf-8")
        wrong = _run_compiler(flags, text, built)
        if wrong and "-fopenmp" in flags and not _run_compiler([f for f in flags if f != "-fopenmp"], text, built):
            log.warning("%s has no OpenMP: kernels run on one processor", find_compiler()[0])
        elif wrong:
            raise KernelError(f"{library.stem.partition('-')[0]}.cu does not compile:\n{wrong}")
        content = built.read_bytes()
        built.write_bytes(content + hashlib.sha256(content).digest())
        os.replace(built, library)


def _run_compiler(flags: list[str], text: Path, built: Path) -> str:
    """Compile and link, in two steps, so that mode `check` is not linked with the sanitizer; return what is wrong."""
    unit, openmp = built.with_suffix(".o"), [flag for flag in flags if flag == "-fopenmp"]
    compiling = [*_BASE, f"-I{PACKAGE}", f"-I{HEADERS}", *flags, "-c", text, "-o", unit]
    for step in (compiling, ["-shared", "-Wl,-Bsymbolic", *openmp, unit, "-o", built]):
        done = subprocess.run([find_compiler()[0], *map(str, step)], capture_output=True, text=True)
        if done.returncode:
            return done.stderr.strip() or f"status {done.returncode}"
    return ""


def _is_whole(library: Path) -> bool:
    try:
        content = library.read_bytes()
    except OSError:
        return False
    is_private = library.parent.stat().st_mode & 0o077 == 0
    return is_private and hashlib.sha256(content[:-_DIGEST]).digest() == content[-_DIGEST:]


def _say(message: str) -> None:
    """Tell a person at a terminal why it takes a moment; a log, if one is kept."""
    log.info("%s", message)
    if sys.stderr.isatty():
        print(f"minisk: {message}", file=sys.stderr)
