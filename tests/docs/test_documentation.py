"""The README and the other documents: code that runs, files that exist, pictures as their code draws them."""

import re
from pathlib import Path

import pytest

from minisk.__main__ import main
from tools.draw_architecture import pictures

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
]


def blocks(language):
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for kind, text in fenced if kind == language]


def test_the_first_example_prints_the_gradient_it_claims():
    names = {}
    exec(blocks("python")[0], names)
    assert repr(names["x"].grad) == "tensor([2., 4., 6.], dtype=float32)"


def test_the_training_loop_runs_and_its_file_is_loaded(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(blocks("python")[1], {})
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert (tmp_path / "model.safetensors").exists()


def test_the_custom_layer_has_the_derivatives_it_claims():
    names = {}
    exec(blocks("python")[2], names)
    assert (names["first"].item(), names["second"].item()) == (12, 12)


def test_the_summary_shown_is_the_one_printed(capsys):
    assert main(["summary", "sknet50"]) == 0
    printed = capsys.readouterr().out.splitlines()
    shown = next(block for block in blocks("") if block.startswith("layer ")).splitlines()
    assert len(shown) > 5
    assert [line for line in shown if line != "…"] == [line for line in printed if line in shown]


@pytest.mark.parametrize("name", ["train", "test"])
def test_each_command_of_the_gate_stands_in_the_readme_exactly_once(name):
    assert README.count(f"<!-- ci: {name} -->\n```\n") == 1


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_and_every_file_named_exists(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    links = [target for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith(("http", "#"))]
    files = re.findall(r"`((?:minisk|tools|docs|tests|benchmarks)/[\w/.]+\.\w+)`", text)
    missing = [target for target in links if not ((ROOT / document).parent / target.split("#")[0]).exists()]
    missing += [target for target in files if not (ROOT / target).exists()]
    assert missing == []


def test_every_decision_is_dated_and_listed():
    folder = ROOT / "docs" / "decisions"
    files = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in files] == re.findall(r"\]\((\d{3}-[^)]+)\)", index)
    for number, path in enumerate(files, 1):
        assert int(path.name[:3]) == number
        assert re.search(r"^Date: \d{4}-\d\d-\d\d$", path.read_text(encoding="utf-8"), re.MULTILINE), path.name


def test_the_pictures_are_as_their_code_draws_them():
    for name, content in pictures().items():
        drawn = (ROOT / "docs" / "pictures" / name).read_text(encoding="utf-8")
        assert drawn == content, f"{name} is out of date: run `python tools/draw_architecture.py`"
