"""The commands of the book: `python -m book` lists the chapters and the reader's progress."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable

from .answers import judge, judge_solution, sentence_about_stop, tries_of
from .chapters import Chapter, chapter, chapters
from .notebooks import notebook_text
from .progress import note_solved, reader_folder, start, state_of
from .reading import excerpts, minutes
from .text import run_text, updated

LONGEST_CHECK = 240.0  # seconds; a loop of the reader that never ends is stopped then


def list_chapters() -> int:
    """Print each chapter: number, question, minutes, and how far the reader is."""
    for each in chapters():
        print(f"{each.number:>3}  {each.question:<58} {minutes(each):3.0f} min  {state_of(each)}".rstrip())
    print(f"\nYour folder: {reader_folder()}")
    print("Read book/NN_topic/chapter.md, then `python -m book start N` and, after each try, `python -m book check N`.")
    return 0


def start_chapter(chosen: Chapter) -> int:
    """Copy the exercise to the reader's folder."""
    for path in start(chosen):
        print(f"Complete {path}, then run `python -m book check {chosen.number}`.")
    return 0


def check_chapter(chosen: Chapter) -> int:
    """Check the reader's exercise, print one sentence, and note a success."""
    folder = reader_folder() / chosen.name
    # An alarm raises KeyboardInterrupt, as Ctrl-C does. A job in the background ignores Ctrl-C itself.
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_CHECK)
    try:
        wrong = judge(chosen, folder)
    except KeyboardInterrupt as error:
        wrong = sentence_about_stop(error, folder)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if wrong is not None:
        print(wrong)
        return 1
    note_solved(chosen)
    print(f"Chapter {chosen.number} is solved.")
    return 0


def write_notebook(chosen: Chapter) -> int:
    """Write the chapter as a notebook into the reader's folder; needs the extra `book`."""
    try:
        content = notebook_text(chosen)
    except ModuleNotFoundError:
        print('A notebook needs jupytext: pip install -e ".[book]"')
        return 1
    path = reader_folder() / chosen.name / f"{chosen.name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    print(f"jupyter lab {path}")
    return 0


def run_chapter(chosen: Chapter) -> int:
    """Run the code of a chapter's text; print each block whose output is not the one shown."""
    failed = 0
    for run in run_text(chosen.folder / "chapter.md"):
        if not run.agrees:
            failed += 1
            print(f"{chosen.name}/chapter.md, line {run.block.line}: the block prints\n{run.printed}")
    print(f"Chapter {chosen.number}: {failed} outputs differ from the text.")
    return int(failed > 0)


def update_chapter(chosen: Chapter) -> int:
    """For authors: write the printed outputs into the text."""
    path = chosen.folder / "chapter.md"
    path.write_text(updated(path), encoding="utf-8")
    return 0


def draw_chapter(chosen: Chapter) -> int:
    """For authors: draw the pictures again."""
    folder = chosen.folder / "pictures"
    folder.mkdir(exist_ok=True)
    for name, content in chosen.module("pictures").pictures().items():
        (folder / name).write_text(content, encoding="utf-8")
        print(folder / name)
    return 0


def show_reading(chosen: Chapter) -> int:
    """Print the parts of minisk that the chapter asks the reader to read."""
    for each in excerpts(chosen):
        print(f"{each.file}, line {each.line}", *each.lines, "", sep="\n")
    return 0


def show_tries(chosen: Chapter) -> int:
    """For authors: print the wrong tries and their answers as a table in Markdown."""
    for each in tries_of(chosen):
        print(f"| {chosen.number} | {each.mistake} | {judge_solution(chosen, each)} |")
    return 0


COMMANDS: dict[str, Callable[[Chapter], int]] = {
    "start": start_chapter,
    "check": check_chapter,
    "source": show_reading,
    "notebook": write_notebook,
    "run": run_chapter,
    "update": update_chapter,
    "draw": draw_chapter,
    "tries": show_tries,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Return 0, or 1 if an exercise is not solved, or 2 for wrong arguments."""
    lines = [f"{name:<8} {(command.__doc__ or '').strip()}" for name, command in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="python -m book",
        description="List the chapters, or run a command with the numbers of chapters.",
        epilog="\n".join(["commands:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=list(COMMANDS))
    parser.add_argument("chapters", nargs="*", type=int, metavar="N")
    options = parser.parse_args(arguments)
    if options.command is None:
        return list_chapters()
    try:
        chosen = [chapter(number) for number in options.chapters]
    except ValueError as error:
        parser.error(str(error))
    if not chosen:
        parser.error(f"{options.command}: give the number of a chapter")
    return max(COMMANDS[options.command](each) for each in chosen)


if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader left `less`; close, so that Python does not write to the pipe once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)
