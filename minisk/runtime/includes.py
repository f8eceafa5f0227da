"""The headers that a kernel file includes: they decide its compiled code as much as the file does."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .signature import read_source

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"(?P<quoted>[^"\n]+)"|<(?P<angled>[^>\n]+)>)', re.MULTILINE)


def included_files(source: Path, folders: Sequence[Path]) -> list[Path]:
    """Return the headers that a file includes, also indirectly, as far as they exist; those of the system are left out.

    An include by a macro's name is not seen. One in a branch of #if counts, whether or not it is compiled.

    Args:
        source: the kernel file.
        folders: where headers are searched after the folder of the file that includes them.
    """
    found: dict[Path, None] = {}
    waiting = [source]
    while waiting:
        for header in _included_by(waiting.pop(), folders):
            if header not in found:
                found[header] = None
                waiting.append(header)
    return sorted(found)


def with_renamed_includes(text: str, folder: Path, names: Mapping[Path, str]) -> str:
    """Return a text that includes some headers by other names. folder: of the text's file."""

    def renamed(found: re.Match[str]) -> str:
        name = names.get((folder / found["quoted"]).resolve()) if found["quoted"] else None
        return f'#include "{name}"' if name else found[0]

    return _INCLUDE.sub(renamed, text)


def _included_by(file: Path, folders: Sequence[Path]) -> Iterator[Path]:
    for match in _INCLUDE.finditer(read_source(file)):
        beside = [file.parent] if match["quoted"] else []
        for folder in (*beside, *folders):
            header = folder / (match["quoted"] or match["angled"])
            if header.is_file():
                yield header.resolve()
                break
