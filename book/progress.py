"""The reader's own folder: the exercises that were started, and which were solved.

The folder is `my_book` in the current folder, or the one that MINISK_BOOK names. It holds one folder for each chapter
that was started, and progress.json: number of a solved chapter → date.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
from pathlib import Path
from types import ModuleType

from .chapters import Chapter, chapter, load_module


def reader_folder() -> Path:
    """Return the reader's folder, which may not exist yet."""
    return Path(os.environ.get("MINISK_BOOK", "my_book"))


def start(chapter: Chapter) -> list[Path]:
    """Copy the exercise's files to the reader's folder, without replacing any; return the paths there."""
    target = reader_folder() / chapter.name
    target.mkdir(parents=True, exist_ok=True)
    for path in chapter.exercises:
        if not (target / path.name).exists():
            shutil.copy(path, target / path.name)
    return [target / path.name for path in chapter.exercises]


def solved() -> dict[int, str]:
    """Return the solved chapters, each with its date. A damaged file counts as none."""
    try:
        content = json.loads((reader_folder() / "progress.json").read_text(encoding="utf-8"))
        return {int(number): str(date) for number, date in content.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def note_solved(chapter: Chapter) -> None:
    """Write down that a chapter was solved today; the first date stays."""
    dates = {chapter.number: datetime.date.today().isoformat()} | solved()
    folder = reader_folder()
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({str(number): dates[number] for number in sorted(dates)}, indent=2)
    (folder / "progress.json").write_text(text + "\n", encoding="utf-8")


def state_of(chapter: Chapter) -> str:
    """Return "solved DATE", "started" or nothing."""
    date = solved().get(chapter.number)
    if date is not None:
        return f"solved {date}"
    return "started" if (reader_folder() / chapter.name).exists() else ""


def mine(number: int) -> ModuleType:
    """Return the reader's exercise.py of a solved chapter as a module; if it is not solved, the kept solution."""
    wanted = chapter(number)
    path = reader_folder() / wanted.name / "exercise.py"
    if number not in solved() or not path.exists():
        path = wanted.folder / "solution.py"
    return load_module(path.resolve(), f"book.mine_{number:02}")
