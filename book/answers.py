"""The check of an exercise: one sentence for a wrong try, or None for a right one.

A chapter's check.py defines `check(answer: Answer) -> None` and raises Wrong with one sentence. Its wrong_tries.py
lists typical mistakes as changes of the kept solution, each with the sentence that answers it.
"""

from __future__ import annotations

import itertools
import shutil
import sys
import tempfile
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from .chapters import Chapter, load_module
from .text import working_in


class Wrong(Exception):
    """The exercise is not solved; the text is the sentence that the reader gets."""


_loads = itertools.count()


class Answer:
    """The reader's folder of one chapter."""

    def __init__(self, folder: Path, chapter: Chapter) -> None:
        self.folder, self.chapter = folder, chapter
        self._module: ModuleType | None = None

    @property
    def module(self) -> ModuleType:
        """Return the reader's exercise.py as a module, loaded at the first use."""
        if self._module is None:
            before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # a cached file may be one try old
            try:
                self._module = load_module(self.path("exercise.py"), f"book_exercise_{next(_loads)}")
            finally:
                sys.dont_write_bytecode = before
        return self._module

    def get(self, name: str) -> Any:
        """Return a name of the reader's exercise.py. Raises Wrong if it is missing."""
        if not hasattr(self.module, name):
            raise Wrong(f"exercise.py no longer defines `{name}`, which the check calls.")
        return getattr(self.module, name)

    def predictions(self, *names: str) -> list[Any]:
        """Return the predictions of these names. Raises Wrong while one is still None: predict before you run."""
        found = [self.get(name) for name in names]
        for name, prediction in zip(names, found, strict=True):
            if prediction is None or (isinstance(prediction, tuple | list) and None in prediction):
                raise Wrong(f"Predict before you run: {name} in exercise.py is still {prediction}.")
        return found

    def path(self, name: str) -> Path:
        """Return the path of one of the reader's files. Raises Wrong if it is missing."""
        if not (self.folder / name).exists():
            raise Wrong(f"There is no {name} in {self.folder}: run `python -m book start {self.chapter.number}` first.")
        return self.folder / name


def judge(chapter: Chapter, folder: Path) -> str | None:
    """Check the files of a folder. Return one sentence about what is wrong, or None if the exercise is solved."""
    answer = Answer(folder.resolve(), chapter)
    check = chapter.module("check").check
    try:
        with tempfile.TemporaryDirectory() as scratch, working_in(scratch):
            check(answer)
    except Wrong as wrong:
        return str(wrong)
    except (Exception, SystemExit) as error:
        return _sentence_about(error, answer)
    return None


def _sentence_about(error: BaseException, answer: Answer) -> str:
    """Return one sentence that names the reader's line where an exception began."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if answer.folder in Path(frame.filename).parents
    ]
    message = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, SyntaxError):
        return f"Python cannot read line {error.lineno} of {Path(error.filename or '').name}: {error.msg}."
    if not frames and "NoneType" in message:
        return "A function of exercise.py returned None where the check needs a result: is a `return` missing?"
    if not frames:
        return f"The check cannot use what exercise.py returned: {type(error).__name__}: {message}."
    place = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}"
    if isinstance(error, NotImplementedError):
        return f"{place}: `{frames[-1].name}` is still to be written."
    return f"{place} raises {type(error).__name__}: {message}."


def sentence_about_stop(error: KeyboardInterrupt, folder: Path) -> str:
    """Return one sentence for a check that was stopped, by Ctrl-C or since it ran too long."""
    at = [
        frame for frame in traceback.extract_tb(error.__traceback__) if folder.resolve() in Path(frame.filename).parents
    ]
    place = str(error).removesuffix(" is interrupted by Ctrl-C")
    if at and not place:
        place = f"{Path(at[-1].filename).name}, line {at[-1].lineno}"
    return f"Stopped: {place or 'the check'} was still running, so look whether every loop there ends."


@dataclass(frozen=True)
class Try:
    """A typical wrong try.

    Attributes:
        mistake: what the reader did, in a few words.
        change: texts of the kept solution and what stands there instead; each text occurs exactly once.
        answer: a part of the sentence that the check must answer.
        file: the exercise's file that is changed; the solution's has the same suffix.
    """

    mistake: str
    change: dict[str, str] = field(repr=False)
    answer: str
    file: str = "exercise.py"

    def source(self, chapter: Chapter) -> str:
        """Return the text of the changed file. Raises ValueError if a text to change does not occur exactly once."""
        text = solution_of(chapter, self.file).read_text(encoding="utf-8")
        for old, new in self.change.items():
            if text.count(old) != 1:
                raise ValueError(
                    f"{self.mistake!r}: {old!r} occurs {text.count(old)} times in the solution, expected 1"
                )
            text = text.replace(old, new)
        return text


def solution_of(chapter: Chapter, file: str) -> Path:
    """Return the kept solution of an exercise's file."""
    return chapter.folder / f"solution{Path(file).suffix}"


def judge_solution(chapter: Chapter, wrong: Try | None = None) -> str | None:
    """Judge the kept solution, or a wrong try derived from it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for exercise in chapter.exercises:
            shutil.copy(solution_of(chapter, exercise.name), folder / exercise.name)
        if wrong is not None:
            (folder / wrong.file).write_text(wrong.source(chapter), encoding="utf-8")
        return judge(chapter, folder)


def tries_of(chapter: Chapter) -> list[Try]:
    """Return the typical wrong tries of a chapter."""
    tries: list[Try] = chapter.module("wrong_tries").TRIES
    return tries
