"""Unpack a .tar.gz that nobody vouches for: regular files inside one folder, all of them or nothing.

The headers are walked here, block by block, and tarfile only takes one apart: what a header says of where to go on,
of links, of long names or of holes is never followed.
"""

from __future__ import annotations

import gzip
import re
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import DataError

_PLAIN_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9_.-]+")  # so neither "..", nor a drive, nor a control character
_FILES, _COMMENTS = (tarfile.REGTYPE, tarfile.AREGTYPE), (tarfile.XHDTYPE, tarfile.XGLTYPE)
_PIECE = 1 << 20


def extract_archive(
    archive: Path, folder: Path, required: Sequence[str], *, max_members: int = 100, max_bytes: int = 256 << 20
) -> Path:
    """Unpack ``archive``, whose members all lie in a folder of the name of ``folder``, and return ``folder``.

    Members may be regular files and folders with plain names; links, devices, pipes, sparse files, absolute
    paths, "..", a name given twice, more than ``max_members`` members or ``max_bytes`` unpacked bytes are
    refused. Owners and modes are ignored. All is unpacked beside ``folder`` and moved there once every
    ``required`` file of it is there. Raises DataError, and then leaves nothing behind.
    """
    temporary = folder.with_name(f".{folder.name}.partial")  # one name, so that a killed run's rest is found
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        with gzip.open(archive) as packed:
            _unpack(_Reader(packed, max_bytes), temporary, folder.name, max_members)
        for name in required:
            if not (temporary / folder.name / name).is_file():
                raise DataError(f"it has no {folder.name}/{name}")
        if folder.exists():
            raise DataError(f"{folder} is there already")
        (temporary / folder.name).rename(folder)
    except Exception as error:  # gzip, zlib and tarfile have no closed list of how a damaged file shows
        raise DataError(f"archive {archive} was not unpacked: {error or type(error).__name__}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


class _Reader:
    """A compressed file, of which no more than ``limit`` bytes may be read: more is a decompression bomb."""

    def __init__(self, packed: gzip.GzipFile, limit: int) -> None:
        self._packed, self._limit, self._left = packed, limit, limit

    def read(self, size: int) -> bytes:
        """Return exactly so many bytes. Raises DataError."""
        data = self._packed.read(size)
        if len(data) < size:
            raise DataError("it ends in the middle")
        self._left -= size
        return data

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield a member's content, and read what pads it to whole blocks. Raises DataError."""
        if not 0 <= size <= self._left:
            raise DataError(f"it holds more than {self._limit} bytes")
        for start in range(0, size, _PIECE):
            yield self.read(min(_PIECE, size - start))
        self.read(-size % tarfile.BLOCKSIZE)

    def finish(self) -> None:
        """Read to the end, where gzip compares its own checksum. Raises DataError."""
        while piece := self._packed.read(_PIECE):
            self._left -= len(piece)
            if self._left < 0:
                raise DataError(f"it holds more than {self._limit} bytes")


def _unpack(packed: _Reader, target: Path, top: str, max_members: int) -> None:
    count = 0
    while any(block := packed.read(tarfile.BLOCKSIZE)):  # a block of zeros ends the archive
        count += 1
        if count > max_members:
            raise DataError(f"it has more than {max_members} members")
        member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if member.type in _COMMENTS:  # times and the like; a name or a size in it is not believed
            for _ in packed.pieces(member.size):
                pass
            continue
        path = target.joinpath(*_checked_parts(member, top))
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            for piece in packed.pieces(member.size):
                file.write(piece)
    packed.finish()


def _checked_parts(member: tarfile.TarInfo, top: str) -> list[str]:
    if not member.isdir() and member.type not in _FILES:
        raise DataError(f"its member {member.name!a} is a link, a device or another special file")
    parts = member.name.removeprefix("./").rstrip("/").split("/")
    if parts[0] != top or not all(_PLAIN_NAME.fullmatch(part) for part in parts):
        raise DataError(f"its member {member.name!a} is not a plain path inside {top}")
    return parts
