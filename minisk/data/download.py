"""Fetch the official CIFAR archives: resumable, compared with a known checksum, unpacked as a whole or not at all.

The commands are `minisk download cifar10 DIR` and `train_cifar.py --download`.

An archive is untrusted: only regular files inside one folder are unpacked. This module walks the headers block by
block; tarfile only parses single headers. Offsets, links, long names and holes in a header are never followed.
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

ARCHIVES = {  # data set → name and MD5 of its archive, the binary version
    "cifar10": ("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
    "cifar100": ("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
}
_PIECE = 1 << 18
_PLAIN_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9_.-]+")  # excludes "..", drives and control characters
_FILES, _COMMENTS = (tarfile.REGTYPE, tarfile.AREGTYPE), (tarfile.XHDTYPE, tarfile.XGLTYPE)


def download_cifar(name: str, data_dir: str | Path, *, base_url: str = OFFICIAL, progress: bool = True) -> Path:
    """Fetch and unpack the binary version of CIFAR, and return the unpacked folder.

    Existing parts are not fetched again: the unpacked folder, the archive, or the first part of it that an interrupted
    download left.

    Args:
        name: "cifar10" or "cifar100".
        data_dir: the folder to fetch into.
        base_url: the address of the folder that holds the archives.
        progress: show a bar.

    Raises:
        DataError: the archive is unreachable or not the official one, or cannot be unpacked or written.
    """
    if name not in ARCHIVES:
        raise DataError(f"download_cifar: {name!r} is not published, expected {' or '.join(map(repr, ARCHIVES))}")
    (packed, md5), layout, root = ARCHIVES[name], BINARY[name], Path(data_dir)
    archive, folder, files = root / packed, root / layout.folder, (layout.names, *layout.train, *layout.test)
    if folder.exists():
        missing = [file for file in files if not (folder / file).is_file()]
        if missing:
            raise DataError(f"{folder} lacks {missing[0]}: move that folder away to have it downloaded again")
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not archive.exists():
            _fetch(base_url + packed, archive, md5, progress)
        elif (found := _md5(archive)) != md5:
            raise DataError(f"{archive} has MD5 {found}, expected {md5}: remove it to have it downloaded again")
    except OSError as error:
        raise DataError(f"cannot write {name} to {root}: {error.strerror or error}") from error
    return extract_archive(archive, folder, files)


def _fetch(url: str, target: Path, md5: str, progress: bool) -> None:
    """Download to a partial file beside ``target``; rename it if its checksum is right. Raises DataError, OSError."""
    if not url.startswith(("http://", "https://")):
        raise DataError(f"cannot download {url}: expected an address with http:// or https://")
    partial = target.with_name(f".{target.name}.partial")
    if partial.is_fifo():  # opening it would wait for ever
        raise DataError(f"{partial} is a pipe, expected a file")
    resumed = True
    while resumed:  # a wrong checksum after resuming: fetch once more, from the start
        resumed = _transfer(url, partial, progress)
        if (found := _md5(partial)) == md5:
            partial.replace(target)
            return
        partial.unlink()
    raise DataError(f"{url} has MD5 {found}, expected {md5}: the file there is not the official one; it was removed")


def _transfer(url: str, partial: Path, progress: bool) -> bool:
    """Download the missing end of ``partial``. Return whether the download was resumed, or False if it started anew.

    After a failure, ``partial`` holds the start of the file for the next attempt. Raises DataError.
    """
    from tqdm import tqdm

    message = f"cannot download {url}"
    have = partial.stat().st_size if partial.exists() else 0
    try:
        request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        with urlopen(request, timeout=TIMEOUT) as response:
            resumed = response.status == 206  # Partial Content; 200 is the whole file: the server knows no ranges
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
            if error.code == 416 and have:  # Range Not Satisfiable: the file is complete; its checksum decides
                return True
        reason = error if isinstance(error, HTTPError) else getattr(error, "reason", error)
        raise DataError(f"{message}: {reason}; {have} bytes are kept, the next attempt continues from there") from error
    if have > MAX_BYTES:
        partial.unlink()
        raise DataError(f"{message}: it is larger than {MAX_BYTES} bytes, which no CIFAR archive is")
    if total is not None and have < total:
        raise DataError(
            f"{message}: the connection ended after {have} of {total} bytes; the next attempt continues from there"
        )
    return resumed


def _check_regular(path: Path) -> None:
    """Raise DataError if the path exists and is no file: opening a pipe would wait for ever."""
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is not a regular file")


def _md5(path: Path) -> str:
    """Return the MD5 of a file. Raises DataError if it is no regular file or larger than any archive of CIFAR."""
    _check_regular(path)
    if (size := path.stat().st_size) > MAX_BYTES:
        raise DataError(f"{path} has {size} bytes, expected at most {MAX_BYTES}")
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def extract_archive(
    archive: Path, folder: Path, required: Sequence[str], *, max_members: int = 100, max_bytes: int = 256 << 20
) -> Path:
    """Unpack an archive, and return ``folder``.

    Owners and modes are ignored. Everything is unpacked in memory, written beside ``folder``, and moved there at the
    end.

    Args:
        archive: its members lie in one folder with the name of ``folder``. They are regular files and folders with
            plain names; links, devices, pipes, sparse files, absolute paths, ".." and repeated names are refused.
        folder: the folder to make.
        required: names of the files that it must hold.
        max_members, max_bytes: the largest number of members, and of bytes in the unpacked archive.

    Raises:
        DataError: the archive is refused or damaged, or lacks a required file. Nothing is left behind.
    """
    temporary = folder.with_name(f".{folder.name}.partial")  # a fixed name, so that the files of a killed run are found
    try:
        _check_regular(archive)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        with gzip.open(archive) as packed:
            data = packed.read(max_bytes + 1)  # to the end, where gzip compares its checksum
        for count, (member, content) in enumerate(_members(data, max_bytes), 1):
            if count > max_members:
                raise DataError(f"it has more than {max_members} members")
            if member.type not in _COMMENTS:  # these hold times and names; a name or a size in them is ignored
                _write(member, content, temporary, folder.name)
        for name in required:
            if not (temporary / folder.name / name).is_file():
                raise DataError(f"it has no {folder.name}/{name}")
        if folder.exists():
            raise DataError(f"{folder} is there already")
        (temporary / folder.name).rename(folder)
    except Exception as error:  # gzip, zlib and tarfile do not list the exceptions for damaged files
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
