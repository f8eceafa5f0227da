"""Words that never appear in comments, docstrings, strings, names or documents, each with its replacement."""

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("minisk", "tests", "tools", "benchmarks", "docs", "book")
SUFFIXES = {".py", ".cu", ".cuh", ".h", ".md", ".txt"}

# (pattern of whole words, replacement). An underscore separates words, so that names are checked too.
WORDS = [
    (r"told", "reported, given, passed"),
    (r"tells?", "reports, shows, returns"),
    (r"(?:is|are|be|been|was|were) had", "is computed, is available"),
    (r"whoever", "the caller, the process"),
    (r"nobody", "no caller, no code; name the actor"),
    (r"how-?manieth", "index, count"),
    (r"as a rule", "usually"),
    (r"by lot", "random"),
    (r"of theirs|of one's own", "their own, your own"),
    (r"twins?", "reference (implementation)"),
    (r"the seam", "the dispatch"),
    (r"the way back", "backward"),
    (r"the record (?:of the call|is walked|of operations)", "the graph"),
    (r"the (?:house|floor)s?(?: of the house)?", "the package, the layer"),
    (r"has a word with", "sets, configures"),
    (r"farewell", "cleanup"),
    (r"sits? (?:a|the) \w+ out", "is skipped"),
    (r"differently far", "with different receptive fields"),
]
# Files that are not checked against the list, with the reason.
EXEMPT = {"tests/docs/test_language.py": "contains the list"}

PATTERNS = [(re.compile(rf"(?<![^\W_]){word}(?![^\W_])", re.IGNORECASE), advice) for word, advice in WORDS]
PROSE = {tokenize.COMMENT, tokenize.STRING, tokenize.NAME, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


def python_prose(source):
    """Return (line, text) of every comment, string and name; `.tell` of a file is Python's own name."""
    found, previous = [], ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in PROSE and not (previous == "." and token.string == "tell"):
            found.append((token.start[0], token.string))
        previous = token.string
    return found


def c_prose(source):
    """Return (line, text) of every comment that begins with //."""
    lines = enumerate(source.splitlines(), 1)
    return [(number, line.split("//", 1)[1]) for number, line in lines if "//" in line]


def document_prose(source):
    """Return (line, text) of every line, without the targets of links."""
    without = re.sub(r"\]\([^)]*\)|https?://\S+", "]", source)
    return list(enumerate(without.splitlines(), 1))


def prose(path):
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return python_prose(source)
    return document_prose(source) if path.suffix in {".md", ".txt"} else c_prose(source)


def findings(name, pieces):
    """Return one line for each word found: file:line, the word, its replacement."""
    found = []
    for line, text in pieces:
        clean = re.sub(r"https?://\S+", "", text)
        for pattern, advice in PATTERNS:
            for match in pattern.finditer(clean):
                at = line + clean.count("\n", 0, match.start())
                found.append(f"{name}:{at}: {match[0]!r}: write {advice}")
    return found


def checked_files():
    files = [*ROOT.glob("*.md"), *ROOT.glob("*.py")]
    files += [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES]
    return sorted(str(path.relative_to(ROOT)) for path in files)


@pytest.mark.parametrize("name", [name for name in checked_files() if name not in EXEMPT])
def test_a_file_contains_no_word_of_the_list(name):
    found = findings(name, prose(ROOT / name))
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1  # what it is told", 1),
        ("is_told = kernel_twin()", 2),
        ('"""Line.\n\nNobody waits."""', 1),
        ("# stellar, intellect, twinkle, records, threshold", 0),
        ("position = file.tell()", 0),
        ("def tell(results): pass", 1),
        ("# https://tell.example/told", 0),
    ],
)
def test_words_are_found_in_comments_strings_and_names_but_not_within_words(text, words):
    assert len(findings("x.py", python_prose(text + "\n"))) == words


if __name__ == "__main__":
    for name in checked_files():
        hits = [] if name in EXEMPT else findings(name, prose(ROOT / name))
        print(*hits, sep="\n", end="\n" if hits else "")
