"""Fetch the official CIFAR archives: resumable, checked against a known checksum, unpacked whole or not at all.

The commands are `minisk download cifar10 DIR` and `train_cifar.py --download`.

An archive is untrusted: only regular files inside one folder are unpacked. This module walks the headers block by
block, and tarfile only parses one header. Offsets, links, long names and holes in a header are never followed.
"""

import gzip
import hashlib
import re
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from ..errors import DataError
from .cifar import BINARY, MAX_BYTES

OFFICIAL = "https://www.cs.toronto.edu/~kriz/"
TIMEOUT = 30.0  # seconds without a byte

ARCHIVES = {  # of the binary version: name, MD5
    "cifar10": ("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
    "cifar100": ("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
}
_PIECE = 1 << 18
_PLAIN_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9_.-]+")  # so neither "..", nor a drive, nor a control character
_FILES, _COMMENTS = (tarfile.REGTYPE, tarfile.AREGTYPE), (tarfile.XHDTYPE, tarfile.XGLTYPE)


def download_cifar(name: str, data_dir: str | Path, *, base_url: str = OFFICIAL, progress: bool = True) -> Path:
    """Fetch and unpack "cifar10" or "cifar100", the binary version, into ``data_dir``; return the unpacked folder.

    What exists already is not fetched again: the unpacked folder, the archive, or the first part of it that an
    interrupted download left. progress: show a bar. Raises DataError if the archive is unreachable, not the
    official one, or cannot be unpacked or written.
    """
    if name not in ARCHIVES:
        raise DataError(f"download_cifar: {name!r} is not published, expected {' or '.join(map(repr, ARCHIVES))}")
    (packed, md5), layout, root = ARCHIVES[name], BINARY[name], Path(data_dir)
    archive, folder, files = root / packed, root / layout.folder, (layout.names, *layout.train, *layout.test)
    if folder.exists():
        missing = [file for file in files if not (folder / file).is_file()]
        if missing:
            raise DataError(f"{folder} lacks {missing[0]}: move that folder away to have it downloaded anew")
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not archive.exists():
            _fetch(base_url + packed, archive, md5, progress)
        elif (found := _md5(archive)) != md5:
            raise DataError(f"{archive} has MD5 {found}, expected {md5}: remove it to have it downloaded anew")
    except OSError as error:
        raise DataError(f"cannot write {name} to {root}: {error.strerror or error}") from error
    return extract_archive(archive, folder, files)


def _fetch(url: str, target: Path, md5: str, progress: bool) -> None:
    """Download to a partial file beside ``target``, and rename it when its checksum is right."""
    if not url.startswith(("http://", "https://")):
        raise DataError(f"cannot download {url}: expected an address with http:// or https://")
    partial = target.with_name(f".{target.name}.partial")
    resumed = True
    while resumed:  # what was appended to an older rest and came out wrong is fetched once more, from its start
        resumed = _transfer(url, partial, progress)
        if (found := _md5(partial)) == md5:
            partial.replace(target)
            return
        partial.unlink()
    raise DataError(f"{url} has MD5 {found}, expected {md5}: the file there is not the official one; it was removed")


def _transfer(url: str, partial: Path, progress: bool) -> bool:
    """Download what ``partial`` still lacks. Returns whether it went on from what was there.

    Whatever breaks off leaves ``partial`` as the start of the file, for the next try.
    """
    from tqdm import tqdm

    message = f"cannot download {url}"
    have = partial.stat().st_size if partial.exists() else 0
    try:
        request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        with urlopen(request, timeout=TIMEOUT) as response:
            resumed = response.status == 206  # the rest, as asked for; 200 is the whole, if a server knows no ranges
            have = have if resumed else 0
            length = response.headers.get("Content-Length", "")
            total = have + int(length) if length.isdecimal() else None
            bar = {"total": total, "initial": have, "desc": url.rpartition("/")[2], "disable": not progress}
            with open(partial, "ab" if resumed else "wb") as file, tqdm.wrapattr(response, "read", **bar) as counted:
                while have <= MAX_BYTES and (piece := counted.read(_PIECE)):
                    file.write(piece)
                    have += len(piece)
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()
            if (
                error.code == 416 and have
            ):  # nothing lies beyond what is there: the checksum decides whether that is right
                return True
        reason = error if isinstance(error, HTTPError) else getattr(error, "reason", error)
        raise DataError(f"{message}: {reason}; {have} bytes are kept, a new try goes on from there") from error
    if have > MAX_BYTES:
        partial.unlink()
        raise DataError(f"{message}: it is larger than {MAX_BYTES} bytes, which no CIFAR archive is")
    if total is not None and have < total:
        raise DataError(f"{message}: it broke off after {have} of {total} bytes; a new try goes on from there")
    return resumed


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


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
