"""Build kernel files with the system's C++ compiler, and cache the libraries in a folder private to the user.

The name of a cached library contains a hash of everything that decides its content: source, headers, compiler, flags
and the processor's features. The file ends with its own SHA-256, so a truncated or damaged one is detected before it is
loaded, and built again.
"""

import functools
import hashlib
import logging
import os
import platform
import re
import shlex
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
_OPENMP = "-fopenmp"
FLAGS = {
    "cpu": ["-DMINISK_ONE_THREAD", *_FAST, _OPENMP],
    "threads": ["-DMINISK_FIBERS", "-O2"],
    # The calls that ThreadSanitizer's instrumentation makes are defined by include/checker.h. Registers that are read
    # before they are written hold a pattern.
    "check": ["-DMINISK_FIBERS", "-DMINISK_CHECK", "-O1", "-g", "-fsanitize=thread", "-ftrivial-auto-var-init=pattern"],
}
_DIGEST = 32  # bytes of a SHA-256


@functools.cache
def find_compiler() -> tuple[str, str]:
    """Return path and version of the C++ compiler: $CXX, g++, clang++ or c++. Raises KernelError if there is none."""
    if platform.system() != "Linux":
        raise KernelError(f"kernels are built on Linux only, this is {platform.system()}")
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    paths = [path for path in map(shutil.which, names) if path is not None]
    if not paths:
        raise KernelError(f"no C++ compiler found (looked for {', '.join(names)})")
    try:
        done = subprocess.run([paths[0], "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise KernelError(f"the C++ compiler {paths[0]} does not run: {error}") from error
    return paths[0], done.stdout.partition("\n")[0]


def build(source: Path, mode: str, defines: Sequence[str]) -> Path:
    """Return the path of a shared library with the kernels of a file, building it if it is not in the cache.

    Flags in $CXXFLAGS are appended to minisk's own.

    Args:
        source: the kernel file.
        mode: a key of FLAGS.
        defines: macros such as "REAL=float".

    Raises:
        KernelError: with the compiler's message.
    """
    flags = [*FLAGS[mode], *(f"-D{define}" for define in defines), *shlex.split(os.environ.get("CXXFLAGS", ""))]
    library = cache_folder() / f"{source.stem}-{mode}-{_key(source, flags)}.so"
    if not _is_intact(library):
        _announce(f"building {source.name} for the CPU ({' '.join([mode, *defines])}); kept in {library.parent}")
        unit = f'#include "cuda_on_cpu.h"\n#include "{source}"\n'
        unit += "".join(f"MINISK_EXPORT({name})\n" for name in signatures(source))
        _compile(unit, flags, library)
    return library


def cache_folder() -> Path:
    """Return the folder of built kernels: $MINISK_CACHE/kernels, or minisk/kernels in the user's cache folder.

    It is created if necessary. Only its owner may write there, because the libraries in it are executed. If that is
    impossible, a temporary folder is used.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("MINISK_CACHE") or Path(base) / "minisk") / "kernels"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)  # raises if the folder belongs to another user
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
    """Return what -march=native depends on: machines that differ may share a home directory."""
    features = re.search(r"^(flags|Features).*", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return platform.machine() + (features[0] if features else "")


def _compile(unit: str, flags: list[str], library: Path) -> None:
    """Compile the unit and move the library into place atomically: of two concurrent builds, the later one remains."""
    with tempfile.TemporaryDirectory(dir=library.parent, prefix="build-") as folder:
        text, built = Path(folder) / "unit.cpp", Path(folder) / library.name
        text.write_text(unit, encoding="utf-8")
        error = _run_compiler(flags, text, built)
        if error and _OPENMP in flags and not _run_compiler([f for f in flags if f != _OPENMP], text, built):
            log.warning("%s has no OpenMP: kernels run on one processor", find_compiler()[0])
        elif error:
            raise KernelError(f"{library.stem.partition('-')[0]}.cu does not compile:\n{error}")
        content = built.read_bytes()
        built.write_bytes(content + hashlib.sha256(content).digest())
        os.replace(built, library)


def _run_compiler(flags: list[str], text: Path, built: Path) -> str:
    """Compile and link; return the error message, or "" if there was none.

    In two steps, so that a library of mode `check` is not linked with ThreadSanitizer's runtime.
    """
    unit, openmp = built.with_suffix(".o"), [flag for flag in flags if flag == _OPENMP]
    compiling = [*_BASE, f"-I{PACKAGE}", f"-I{HEADERS}", *flags, "-c", str(text), "-o", str(unit)]
    linking = ["-shared", "-Wl,-Bsymbolic", *openmp, str(unit), "-o", str(built)]
    for arguments in (compiling, linking):
        done = subprocess.run([find_compiler()[0], *arguments], capture_output=True, text=True)
        if done.returncode:
            return done.stderr.strip() or f"status {done.returncode}"
    return ""


def _is_intact(library: Path) -> bool:
    """Return whether a cached library exists in a private folder and matches its own checksum."""
    try:
        content = library.read_bytes()
    except OSError:
        return False
    is_private = library.parent.stat().st_mode & 0o077 == 0
    return is_private and hashlib.sha256(content[:-_DIGEST]).digest() == content[-_DIGEST:]


def _announce(message: str) -> None:
    """Log the message, and print it at a terminal: compiling takes seconds."""
    log.info("%s", message)
    if sys.stderr.isatty():
        print(f"minisk: {message}", file=sys.stderr)
