"""The frame of the book: blocks, outputs, answers, progress and commands, on a small chapter made here."""

import json

import pytest

from book import __main__ as commands
from book import progress, reading, text, words
from book.__main__ import main
from book.answers import Try, Wrong, judge, judge_solution
from book.chapters import Chapter, build, chapter, chapters

SMALL = """# 41. What is a sum?

A **sum** is `a + b`.

```python
print(1 + 1)
```

```output
2
```
"""
EXERCISE = 'def add(a, b):\n    """Return the sum."""\n    raise NotImplementedError\n'
CHECK = """from book.answers import Wrong


def check(answer):
    if answer.get("add")(2, 3) != 5:
        raise Wrong("add(2, 3) must be 5.")
"""


@pytest.fixture
def small(tmp_path):
    folder = tmp_path / "41_sum"
    folder.mkdir()
    files = {"chapter.md": SMALL, "exercise.py": EXERCISE, "check.py": CHECK}
    files["solution.py"] = "def add(a, b):\n    return a + b\n"
    for name, content in files.items():
        (folder / name).write_text(content)
    return Chapter(41, folder)


def runs_of(tmp_path, content):
    path = tmp_path / "chapter.md"
    path.write_text(content)
    return list(text.run_text(path))


@pytest.mark.core
def test_chapters_are_numbered_from_one_without_a_gap():
    assert [each.number for each in chapters()] == list(range(1, len(chapters()) + 1))


def test_an_output_is_compared_with_what_the_block_above_it_prints(tmp_path):
    (run,) = runs_of(tmp_path, SMALL.replace("2\n```\n", "3\n```\n"))
    assert (run.printed, run.shown, run.agrees) == ("2\n", "3\n", False)


@pytest.mark.parametrize(("shown", "agrees"), [("a 1… b", True), ("…b", True), ("a 1", False), ("a 1.5 b", True)])
def test_three_dots_stand_for_any_text(shown, agrees):
    block, output = text.Block("python", "", "", 1), text.Block("output", "", shown, 4)
    assert text.Run(block, output, "a 1.5 b\n").agrees is agrees


def test_a_block_that_prints_must_show_its_output(tmp_path):
    (run,) = runs_of(tmp_path, "```python\nprint(1)\n```\n")
    assert not run.agrees


def test_a_cuda_block_is_a_file_for_the_blocks_below_it(tmp_path):
    code = "from pathlib import Path\nprint(Path('one.cu').read_text())\n"
    (run,) = runs_of(
        tmp_path, f"```cuda one.cu\n__global__\n```\n\n```python\n{code}```\n\n```output\n__global__\n```\n"
    )
    assert run.agrees


def test_an_error_in_a_block_has_the_line_of_the_chapter(tmp_path):
    with pytest.raises(ZeroDivisionError) as caught:
        runs_of(tmp_path, "# Title\n\n```python\nx = 1\nx / 0\n```\n")
    assert caught.traceback[-1].lineno + 1 == 5


def test_an_unknown_language_is_named():
    with pytest.raises(ValueError, match="line 2: a block of 'pyton'"):
        text.blocks_of("\n```pyton\n```\n")


def test_an_output_without_a_python_block_is_named():
    with pytest.raises(ValueError, match="line 1: a block of output must follow"):
        text.blocks_of("```output\n1\n```\n")


@pytest.mark.parametrize("output", ["\n```output\n3\n```\n", ""])
def test_update_writes_the_output_that_was_printed(tmp_path, output):
    path = tmp_path / "chapter.md"
    path.write_text(f"one\n\n```python\nprint(2)\n```\n{output}\ntwo\n")
    assert text.updated(path) == "one\n\n```python\nprint(2)\n```\n\n```output\n2\n```\n\ntwo\n"


def test_update_empties_the_output_of_a_block_that_prints_nothing(tmp_path):
    path = tmp_path / "chapter.md"
    path.write_text("one\n\n```python\nx = 2\n```\n\n```output\n3\n```\n\ntwo\n")
    assert text.updated(path) == "one\n\n```python\nx = 2\n```\n\n```output\n```\n\ntwo\n"


def test_update_leaves_a_text_that_agrees_as_it_is(tmp_path):
    path = tmp_path / "chapter.md"
    path.write_text(SMALL)
    assert text.updated(path) == SMALL


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (EXERCISE, "exercise.py, line 3: `add` is still to be written."),
        ("def add(a, b):\n    return 6\n", "add(2, 3) must be 5."),
        ("def add(a, b):\n    return a + missing\n", "line 2 raises NameError: name 'missing' is not defined."),
        ("import sys\n\nsys.exit(3)\n", "exercise.py, line 3 raises SystemExit: 3."),
        ("def add(a, b)\n", "Python cannot read line 1 of exercise.py: expected ':'."),
        ("", "exercise.py no longer defines `add`, which the check calls."),
        ("def add(a):\n    return a\n", "The check cannot use what exercise.py returned: TypeError: add() takes 1"),
    ],
)
def test_a_wrong_try_is_answered_in_one_sentence(small, tmp_path, source, sentence):
    (tmp_path / "exercise.py").write_text(source)
    assert sentence in judge(small, tmp_path)


def test_a_loop_that_never_ends_is_stopped_in_one_sentence(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINISK_BOOK", str(tmp_path))
    monkeypatch.setattr(commands, "LONGEST_CHECK", 0.5)
    (small.folder / "exercise.py").write_text("def add(a, b):\n    while True:\n        a += b\n")
    assert commands.check_chapter(small) == 1
    assert "Stopped: exercise.py, line" in capsys.readouterr().out


def test_a_missing_exercise_is_answered(small, tmp_path):
    assert "run `python -m book start 41` first" in judge(small, tmp_path)


def test_a_changed_exercise_is_read_again(small, tmp_path):
    # Both have one length: a cached file would be taken for the new one.
    for source, expected in (
        ("def add(a, b):\n    return a + b\n", True),
        ("def add(a, b):\n    return a - b\n", False),
    ):
        (tmp_path / "exercise.py").write_text(source)
        assert (judge(small, tmp_path) is None) is expected


def test_a_try_changes_the_solution_in_one_place(small):
    assert judge_solution(small) is None
    assert judge_solution(small, Try("minus", {"a + b": "a - b"}, "")) == "add(2, 3) must be 5."
    with pytest.raises(ValueError, match="'a' occurs 3 times"):
        judge_solution(small, Try("twice", {"a": "b"}, ""))


def test_minutes_count_words_code_and_the_solution(small):
    # 10 words and one printed; a line of Python in the text and two in the solution.
    assert reading.minutes(small) == pytest.approx(11 / 200 + 3 / 6)


@pytest.mark.parametrize(
    ("file", "name", "first"),
    [
        ("minisk/ops/arithmetic.py", "Mul", "class Mul(Function):"),
        ("minisk/ops/arithmetic.py", "Mul.backward", "    @staticmethod"),
        ("minisk/ops/arithmetic.py", "add", "@numbers_in_float32"),
    ],
)
def test_an_excerpt_is_a_whole_definition(file, name, first):
    found = reading.excerpt(file, name)
    assert found.lines[0] == first
    assert (reading.ROOT / file).read_text().splitlines()[found.line - 1] == first


def test_an_excerpt_of_a_kernel_ends_with_its_brace():
    found = reading.excerpt("minisk/cuda/axpy.cu", "channel_scale")
    assert "channel_scale(" in " ".join(found.lines[:3])
    assert found.lines[-1] == "}"


def test_an_excerpt_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="does not define sum_twice"):
        reading.excerpt("minisk/ops/arithmetic.py", "sum_twice")


def test_a_word_used_before_its_explanation_is_reported(small):
    path = small.folder / "chapter.md"
    assert words.problems([small]) == []
    path.write_text("# 41. What are sums?\n\nSums: a **sum** is `a + b`.\n")
    assert words.problems([small]) == ["'sum' is used in chapter 41, explained in chapter 41"]
    path.write_text("# 41. What?\n\nA **sum** uses coalesced sectors. A **sum**.\n")
    assert words.problems([small]) == [
        "'coalesced' is used in chapter 41, never explained",
        "'sector' is used in chapter 41, never explained",
        "'sum' is explained 2 times",
    ]


def test_a_word_in_code_is_not_a_use(small):
    (small.folder / "chapter.md").write_text("# 41. What?\n\n`sum` in code.\n\n```python\nsum\n```\n\nA **sum**.\n")
    assert words.problems([small]) == []


@pytest.fixture
def reader(tmp_path, monkeypatch):
    monkeypatch.setenv("MINISK_BOOK", str(tmp_path / "mine"))
    return tmp_path / "mine"


def test_a_reader_starts_fails_and_solves_a_chapter(reader, capsys):
    first = chapter(1)
    assert main(["start", "1"]) == 0
    exercise = reader / first.name / "exercise.py"
    assert exercise.read_text() == (first.folder / "exercise.py").read_text()
    assert main(["check", "1"]) == 1
    assert "Predict before you run: ORDERS" in capsys.readouterr().out
    exercise.write_text((first.folder / "solution.py").read_text())
    assert main(["start", "1"]) == 0, "start must leave the reader's work as it is"
    assert main(["check", "1"]) == 0
    assert list(json.loads((reader / "progress.json").read_text())) == ["1"]
    assert main([]) == 0
    assert "solved 2" in capsys.readouterr().out


def test_a_damaged_progress_file_counts_as_no_progress(reader):
    reader.mkdir()
    (reader / "progress.json").write_text("[1")
    assert progress.solved() == {}


def test_a_chapter_that_does_not_exist_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["check", "99"])
    assert "there is no chapter 99" in capsys.readouterr().err


def test_a_build_is_loaded_once():
    assert build(1) is build(1)


def test_wrong_is_an_exception_with_a_sentence():
    assert str(Wrong("One sentence.")) == "One sentence."
