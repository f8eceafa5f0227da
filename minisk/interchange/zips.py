"""Read members of a zip that may be hostile: bounded, and unpacked in memory only."""

import contextlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from ..errors import CheckpointError

_MOST_MEMBERS = 100_000
# Of all members together to the file: zip can make zeros a thousand times smaller, but no trained weights.
_MOST_EXPANSION = 20
_LEAST_LIMIT = 16 << 20  # bytes
# What zipfile raises for a damaged archive: RuntimeError for encryption, NotImplementedError for unknown methods.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, LookupError, ValueError)


@contextlib.contextmanager
def opened_zip(path: str | Path, what: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip for the block. Raises CheckpointError, which begins with `what`, if it is damaged."""
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGE as error:
        raise CheckpointError(f"{what} is a damaged zip: {error}") from error
    with archive:
        names = archive.namelist()
        if len(names) > _MOST_MEMBERS:
            raise CheckpointError(f"{what} is a zip of {len(names):,} members, expected at most {_MOST_MEMBERS:,}")
        if len(set(names)) != len(names):
            raise CheckpointError(f"{what} is a zip with two members of one name")
        yield archive


def unpacked_limit(path: str | Path) -> int:
    """Return how many bytes all members of a zip may have together: 20 times the file's, but at least 16 MB."""
    return max(_LEAST_LIMIT, _MOST_EXPANSION * os.path.getsize(path))


def read_member(archive: zipfile.ZipFile, name: str, what: str, most: int) -> bytes:
    """Return the content of a member, unpacked. zipfile compares it with its checksum.

    Args:
        archive: an open zip.
        name: of the member.
        what: the start of an error.
        most: bytes that the member may have. No more are unpacked.

    Raises:
        CheckpointError: there is no such member, or it is damaged or larger.
    """
    try:
        size = archive.getinfo(name).file_size
        if size > most:
            raise CheckpointError(f"{what} has a member {name[:80]!r} of {size:,} bytes, expected at most {most:,}")
        with archive.open(name) as file:
            content = file.read(most + 1)
    except KeyError as error:
        raise CheckpointError(f"{what} lacks the member {name[:80]!r}") from error
    except CheckpointError:  # it is a ValueError too
        raise
    except _DAMAGE as error:
        raise CheckpointError(f"{what} has a damaged member {name[:80]!r}: {error}") from error
    if len(content) != size:
        raise CheckpointError(f"{what} has a member {name[:80]!r} of {len(content):,} bytes, expected {size:,}")
    return content
