"""What the README shows is what happens."""

import re
from pathlib import Path

import numpy as np
import pytest

from minisk.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for kind, text in fenced if kind == language]


def test_the_first_example_prints_the_gradients_it_claims():
    names = {}
    exec(blocks("python")[0], names)
    assert names["dx"].numpy().tolist() == [2, 4, 6]
    assert repr(names["x"].grad) == "tensor([ 8., 16., 24.], dtype=float32)"


def test_the_custom_layer_has_the_derivatives_it_claims():
    names = {}
    exec(blocks("python")[1], names)
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


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/design.md", "docs/layer.md"])
def test_every_link_and_every_file_named_exists(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    links = [target for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith("http")]
    files = re.findall(r"`((?:minisk|tools|docs|tests|benchmarks)/[\w/.]+\.\w+)`", text)
    missing = [target for target in links if not ((ROOT / document).parent / target).exists()]
    missing += [target for target in files if not (ROOT / target).exists()]
    assert missing == []
    assert np.size(links) + np.size(files) > 0
