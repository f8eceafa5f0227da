"""The words of the book: each is explained, in bold, at its first use, and used only after that.

A word of the book is one that a chapter sets in bold, one of FIELD, or one of docs/glossary.md. Bold marks an
explanation and nothing else. Headings, code and text in backticks do not count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .chapters import ROOT, Chapter
from .text import prose_of

# Words of docs/glossary.md that mean in the book what they mean in a newspaper, unless a chapter sets them in bold.
EVERYDAY = {
    *("unit", "step", "stage", "stem", "mode", "mix", "budget", "real", "wide", "edge", "branch", "plane", "reference"),
    *("recipe", "freed", "node", "leaf", "observer", "anomaly", "finding", "operation", "select", "squeeze", "split"),
    *("fuse", "graph", "tap", "staged", "tile", "race", "mutant", "probe", "verdict", "attention", "composition"),
    *("kernel", "launcher", "fiber", "share", "view"),
}
# Words of the field that a chapter has to explain if it uses them, beside those of docs/glossary.md.
FIELD = {
    *("network", "weight", "loss", "optimizer", "batch", "epoch", "learning rate", "momentum", "softmax", "logit"),
    *(
        "layer",
        "parameter",
        "gradient",
        "jacobian",
        "hessian",
        "convolution",
        "channel",
        "stride",
        "padding",
        "dilation",
    ),
    *(
        "receptive field",
        "thread",
        "warp",
        "shared memory",
        "barrier",
        "atomic",
        "roofline",
        "checkpoint",
        "overfitting",
    ),
}


@dataclass(frozen=True)
class Use:
    """One occurrence of a word: chapter, position in its prose, and whether it is the explanation."""

    chapter: int
    position: int
    explains: bool


def prose(chapter: Chapter) -> str:
    """Return the chapter's prose without its headings, then that of its exercises."""
    parts = [re.sub(r"^#.*$", "", prose_of(chapter.text), flags=re.MULTILINE)]
    for path in chapter.exercises:
        source = path.read_text(encoding="utf-8")
        parts += [prose_of(docstring) for docstring in re.findall(r'"""(.*?)"""', source, re.DOTALL)]
        parts += [prose_of(comment) for comment in re.findall(r"(?:#|//) (.*)", source)]
    return "\n".join(parts)


def singular(word: str) -> str:
    """Return the form under which a word is compared: lower case, without a plural's s."""
    word = " ".join(word.lower().split())
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "is", "us", "as")) else word


def explained(chapter: Chapter) -> list[str]:
    """Return the words that a chapter explains: those in bold."""
    return [singular(word) for word in re.findall(r"\*\*([^*]+)\*\*", prose(chapter))]


def glossary_words() -> set[str]:
    """Return the words of docs/glossary.md."""
    rows = re.findall(r"^\| ([^|]+) \| ", (ROOT / "docs/glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    return {singular(word) for row in rows if row != "word" for word in row.split(",") if "`" not in word}


def uses(word: str, chapters: Sequence[Chapter]) -> list[Use]:
    """Return every occurrence of a word in the book, in reading order."""
    pattern = re.compile(rf"(\*\*)?(?<![\w-]){re.escape(word)}(?:e?s)?(?![\w-])(\*\*)?", re.IGNORECASE)
    return [
        Use(chapter.number, match.start(), bool(match[1] and match[2]))
        for chapter in chapters
        for match in pattern.finditer(prose(chapter))
    ]


def problems(chapters: Sequence[Chapter]) -> list[str]:
    """Return one line for each word that is used before it is explained, or explained twice."""
    in_bold = [word for chapter in chapters for word in explained(chapter)]
    found = [f"{word!r} is explained {in_bold.count(word)} times" for word in set(in_bold) if in_bold.count(word) > 1]
    for word in sorted(set(in_bold) | FIELD | (glossary_words() - EVERYDAY)):
        occurrences = uses(word, chapters)
        if occurrences and not occurrences[0].explains:
            where = next(
                (f"explained in chapter {use.chapter}" for use in occurrences if use.explains), "never explained"
            )
            found.append(f"{word!r} is used in chapter {occurrences[0].chapter}, {where}")
    return sorted(found)
