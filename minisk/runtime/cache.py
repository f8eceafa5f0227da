"""The folder of built kernels, and which of its files may be executed.

Another user must not be able to place a library there. The folder and each library are therefore trusted only as they
are found: owned by this user, writable by no other user, neither a link nor a file with a second name. Nothing that
exists is changed by chmod.
"""

import atexit
import contextlib
import functools
import hashlib
import logging
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

from ..backend.folders import cache_path

log = logging.getLogger(__name__)

BUILD_PREFIX = "build-"  # of the folders in which libraries are compiled
_DIGEST = 32  # bytes of a SHA-256
_DAY = 24 * 3600  # seconds; no build takes longer
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_ELF = b"\x7fELF"  # the first bytes of every library


def cache_folder() -> Path:
    """Return the folder of built kernels: $MINISK_CACHE/kernels, or minisk/kernels in the user's cache folder.

    It is created if necessary, for this user only. If it cannot be used or trusted, a temporary folder is used.
    """
    try:
        folder = cache_path("kernels")
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        reason = _why_not_trusted(folder.lstat(), is_folder=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home folder
        return _temporary_folder(f"the cache folder can't be used ({error})")
    if reason:
        return _temporary_folder(f"{folder} {reason}")
    return folder if os.access(folder, os.W_OK) else _temporary_folder(f"{folder} can't be written")


def is_intact(library: Path) -> bool:
    """Return whether a cached library exists, could be written by this user only, and matches its own checksum."""
    try:
        # A link is not followed, and a FIFO is not waited for.
        descriptor = os.open(library, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    if _why_not_trusted(os.fstat(descriptor), is_folder=False):
        os.close(descriptor)
        return False
    with open(descriptor, "rb") as file:
        content = file.read()
    return is_library(content) and hashlib.sha256(content[:-_DIGEST]).digest() == content[-_DIGEST:]


def is_library(content: bytes) -> bool:
    """Return whether a compiler's output begins as a library does; an empty file does not."""
    return content.startswith(_ELF)


def store(content: bytes, built: Path, library: Path) -> None:
    """Write a library with its checksum to `built`, and move it into place atomically.

    Of two concurrent builds, the later one remains.
    """
    descriptor = os.open(built, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content + hashlib.sha256(content).digest())
    os.replace(built, library)


def source_file(text: str) -> Path:
    """Return a file of the cache folder that holds a kernel's source text; texts that differ have different files."""
    path = cache_folder() / f"source-{hashlib.sha256(text.encode()).hexdigest()[:12]}.cu"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=BUILD_PREFIX) as folder:
            written = Path(folder) / path.name
            written.write_text(text, encoding="utf-8")
            os.replace(written, path)
    return path


def remove_leftovers(folder: Path) -> None:
    """Remove the build folders of processes that were killed: those older than a day."""
    for leftover in folder.glob(f"{BUILD_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.lstat().st_mtime > _DAY:
                _remove(leftover)


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    else:
        shutil.rmtree(path)


def _why_not_trusted(status: os.stat_result, is_folder: bool) -> str | None:
    """Return why another user could have written a folder or a file, or None. status: of the path itself (lstat)."""
    if not (stat.S_ISDIR if is_folder else stat.S_ISREG)(status.st_mode):
        return f"is not a {'folder' if is_folder else 'regular file'}, or is a link"
    if status.st_uid != os.geteuid():
        return "belongs to another user"
    if status.st_mode & _OTHERS_WRITE:
        return "can be written by other users"
    if not is_folder and status.st_nlink != 1:
        return "has a second name"
    return None


@functools.cache
def _temporary_folder(reason: str) -> Path:
    """Create a folder that is removed when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="minisk-kernels-"))
    creator = os.getpid()

    def remove() -> None:
        if os.getpid() == creator:  # not at the end of a forked child
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    log.warning("built kernels are kept in %s for this process only: %s", folder, reason)
    return folder
