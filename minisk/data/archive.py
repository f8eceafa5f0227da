"""Unpack a .tar.gz that nobody vouches for: regular files inside one folder, all of them or nothing.

The headers are walked here, block by block, and tarfile only takes one apart: what a header says of where to go on,
of links, of long names or of holes is never followed.
"""

import gzip
import re
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import DataError

_PLAIN_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9_.-]+")  # so neither "..", nor a drive, nor a control character
_FILES, _COMMENTS = (tarfile.REGTYPE, tarfile.AREGTYPE), (tarfile.XHDTYPE, tarfile.XGLTYPE)


def extract_archive(
    archive: Path, folder: Path, required: Sequence[str], *, max_members: int = 100, max_bytes: int = 256 << 20
) -> Path:
    """Unpack ``archive``, whose members all lie in a folder of the name of ``folder``, and return ``folder``.

    Members may be regular files and folders with plain names; links, devices, pipes, sparse files, absolute
    paths, "..", a name given twice, more than ``max_members`` members or ``max_bytes`` unpacked bytes are
    refused. Owners and modes are ignored. All is unpacked in memory, written beside ``folder`` and moved there once
    every ``required`` file of it is there. Raises DataError, and then leaves nothing behind.
    """
    temporary = folder.with_name(f".{folder.name}.partial")  # one name, so that a killed run's rest is found
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        with gzip.open(archive) as packed:
            data = packed.read(max_bytes + 1)  # up to the end, where gzip compares its own checksum
        for count, (member, content) in enumerate(_members(data, max_bytes), 1):
            if count > max_members:
                raise DataError(f"it has more than {max_members} members")
            if member.type not in _COMMENTS:  # times and the like; a name or a size in it is not believed
                _write(member, content, temporary, folder.name)
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


def _members(data: bytes, max_bytes: int) -> Iterator[tuple[tarfile.TarInfo, memoryview]]:
    """Yield each member's header and content. Raises DataError."""
    start, blocks = 0, memoryview(data)
    while any(header := blocks[start : start + tarfile.BLOCKSIZE]):  # a block of zeros ends the archive
        member = tarfile.TarInfo.frombuf(bytes(header), "utf-8", "surrogateescape")
        start += tarfile.BLOCKSIZE
        if not 0 <= member.size <= max_bytes - start:
            raise DataError(f"it holds more than {max_bytes} bytes")
        yield member, blocks[start : start + member.size]
        start += member.size + -member.size % tarfile.BLOCKSIZE
    if len(data) > max_bytes:
        raise DataError(f"it holds more than {max_bytes} bytes")
    if len(header) < tarfile.BLOCKSIZE:
        raise DataError("it ends in the middle")


def _write(member: tarfile.TarInfo, content: memoryview, target: Path, top: str) -> None:
    if not member.isdir() and member.type not in _FILES:
        raise DataError(f"its member {member.name!a} is a link, a device or another special file")
    parts = member.name.removeprefix("./").rstrip("/").split("/")
    if parts[0] != top or not all(_PLAIN_NAME.fullmatch(part) for part in parts):
        raise DataError(f"its member {member.name!a} is not a plain path inside {top}")
    path = target.joinpath(*parts)
    (path if member.isdir() else path.parent).mkdir(parents=True, exist_ok=True)
    if not member.isdir():
        with open(path, "xb") as file:
            file.write(content)
