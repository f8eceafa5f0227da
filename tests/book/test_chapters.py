"""Every chapter: its text runs, its solution is right, and each typical wrong try gets its sentence."""

import ast
import re
import shutil
import xml.etree.ElementTree as ElementTree

import pytest

from book.answers import judge, judge_solution, tries_of
from book.chapters import chapters
from book.drawing import COLOURS
from book.reading import LONGEST, excerpts, minutes
from book.text import blocks_of, prose_of, run_text
from book.words import problems
from minisk.runtime import why_no_kernels

CHAPTERS = chapters()
BUILD_LINES = 120


def with_compiler(chapter, *more, **settings):
    """Return a parameter that is skipped, with a sentence, where the chapter's kernels cannot be built."""
    why = why_no_kernels() if chapter.number in range(10, 15) else None
    marks = pytest.mark.skipif(why is not None, reason=f"chapter {chapter.number} runs CUDA: {why}")
    return pytest.param(chapter, *more, marks=marks, **settings)


RUN = pytest.mark.parametrize("chapter", [with_compiler(each, id=each.name) for each in CHAPTERS])
every_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)


@RUN
def test_the_code_of_the_text_prints_what_the_text_shows(chapter, tmp_path, monkeypatch):
    monkeypatch.setenv("MINISK_BOOK", str(tmp_path))  # not the exercises of somebody who reads the book in this clone
    for run in run_text(chapter.folder / "chapter.md"):
        assert run.agrees, f"{chapter.name}/chapter.md, line {run.block.line} prints:\n{run.printed}"


@RUN
def test_the_kept_solution_is_right(chapter):
    assert judge_solution(chapter) is None


@RUN
def test_the_exercise_as_given_is_not_solved_and_gets_one_sentence(chapter, tmp_path):
    for path in chapter.exercises:
        shutil.copy(path, tmp_path)
    assert_is_one_sentence(judge(chapter, tmp_path))


@pytest.mark.parametrize(
    ("chapter", "wrong"),
    [with_compiler(each, wrong, id=f"{each.name}-{wrong.mistake}") for each in CHAPTERS for wrong in tries_of(each)],
)
def test_a_wrong_try_gets_its_sentence(chapter, wrong):
    answer = judge_solution(chapter, wrong)
    assert answer is not None, "the check passes this try"
    assert wrong.answer in answer, answer
    assert_is_one_sentence(answer)


@every_chapter
def test_at_least_five_wrong_tries_have_sentences_of_their_own(chapter):
    assert len({wrong.answer for wrong in tries_of(chapter)}) >= 5


@every_chapter
def test_a_chapter_takes_at_most_an_hour(chapter):
    assert minutes(chapter) <= LONGEST


def test_no_word_is_used_before_it_is_explained():
    found = problems(CHAPTERS)
    assert not found, "\n" + "\n".join(found)


@every_chapter
def test_a_chapter_opens_with_its_question_and_a_picture_and_ends_with_minisk(chapter):
    assert chapter.question.endswith("?")
    assert "![" in chapter.text.split("\n## ")[0]
    assert excerpts(chapter), "the chapter has no block `read`"


@every_chapter
def test_the_pictures_are_as_their_code_draws_them(chapter):
    drawn = chapter.module("pictures").pictures()
    assert set(drawn) == {path.name for path in (chapter.folder / "pictures").iterdir()}
    for name, content in drawn.items():
        kept = (chapter.folder / "pictures" / name).read_text(encoding="utf-8")
        assert content == kept, f"run `python -m book draw {chapter.number}`"
        assert f"](pictures/{name})" in chapter.text


@every_chapter
def test_every_part_of_a_picture_has_a_colour_for_light_and_dark_pages(chapter):
    for content in chapter.module("pictures").pictures().values():
        for element in ElementTree.fromstring(content).iter():
            classes = set(element.get("class", "").replace("s-", "").split())
            assert classes <= set(COLOURS)
            assert not {"fill", "stroke", "style"} & set(element.attrib) - {
                "fill" if element.get("fill") == "none" else ""
            }


@every_chapter
def test_the_build_holds_definitions_of_the_text_or_the_solution_and_is_short(chapter):
    source = (chapter.folder / "build.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= BUILD_LINES
    text = "\n".join(block.content for block in blocks_of(chapter.text) if block.language == "python")
    solution = chapter.folder / "solution.py"
    known = [definitions(text), definitions(solution.read_text(encoding="utf-8") if solution.exists() else "")]
    for name, definition in definitions(source).items():
        assert definition in [each.get(name) for each in known], (
            f"{name} of build.py is not the last {name} of the text"
        )


@every_chapter
def test_code_fits_the_width_of_a_page_and_links_lead_to_files(chapter):
    for block in blocks_of(chapter.text):
        if block.language != "output":
            assert max(map(len, block.content.splitlines())) <= 88, f"line {block.line}"
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", chapter.text):
        assert target.startswith("https://") or (chapter.folder / target).exists(), target


def definitions(source):
    """Return each function and class of a source, without its docstring, as a text that ignores the layout."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            for part in ast.walk(node):
                if isinstance(part, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(part) is not None:
                    part.body = part.body[1:] or [ast.Pass()]
            found[node.name] = ast.dump(node)
    return found


def assert_is_one_sentence(answer):
    assert answer is not None
    assert "\n" not in answer
    assert "np.float64" not in answer
    assert answer.endswith((".", "?"))
    assert len(prose_of(answer).split()) <= 45
