"""Write docs/cuda-words.md, the list of CUDA's words that minisk has: `python tools/cuda_words.py`.

The words are read from the headers of runtime/include, after the preprocessor, so the page has what a kernel can use.
The tool needs a C++ compiler.
With --check nothing is written; the exit status is 1 if the page is not up to date.
"""

from __future__ import annotations

import re
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

from minisk.runtime.compiler import run_compiler
from minisk.runtime.declarations import Token, statements
from minisk.runtime.explain import unsupported
from minisk.runtime.preprocess import HEADERS, INCLUDED

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cuda-words.md"
EXECUTOR = ["fibers.h", "warp.h"]  # define threadIdx, __syncthreads, shuffles
_MARKER = re.compile(r'# \d+ "([^"]*)"')
_DEFINE = re.compile(r"^[ \t]*# *define (\w+)", re.MULTILINE)
_TOKEN = re.compile(r'\w+|"[^"\n]*"|::|\.\.\.|[^\w\s]')
_NOT_WORDS = re.compile(r"minisk.*|MINISK.*|static_assert|sizeof|fork_handlers|__builtin_assume|__CUDACC_VER.*")

HEAD = """# CUDA's words in minisk

A kernel file for the CPU may use the words below, with or without the header of CUDA that declares them. They work in
every mode. Functions of a warp need a block of its true size; in a kernel marked `ANY_BLOCK`, mode `cpu` reports them
with their line. `tools/cuda_words.py` writes this page from the headers in `minisk/runtime/include/`.

C's and C++'s own functions work as well: those of `<math.h>` in both precisions (`expf`, `exp`, `fmaf`, `abs`, `isnan`,
…), `printf`, `assert`, `memcpy`, `memset`, `malloc`, `free`, `new` and `delete`.
"""


def expanded_headers() -> dict[str, str]:
    """Return the text of each header of runtime/include after the preprocessor, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        empty, output = Path(folder) / "empty.cpp", Path(folder) / "unit.ii"
        empty.write_text("")
        options = ["-x", "c++", "-std=c++17", "-w", "-DMINISK_FIBERS", *INCLUDED]
        error = run_compiler(["-E", *options, "-include", "cuda_on_cpu.h", str(empty), "-o", str(output)], folder)
        assert not error, error
        texts: dict[str, list[str]] = {}
        header = ""
        for line in output.read_text().split("\n"):
            marker = _MARKER.match(line)
            if marker:
                file = Path(marker[1])
                header = str(file.relative_to(HEADERS)) if HEADERS in file.parents else ""
            elif header and not line.startswith("#"):
                texts.setdefault(header, []).append(line)
    return {name: "\n".join(lines) for name, lines in texts.items()}


def words_of(header: str, expanded: str) -> list[str]:
    """Return the words that a header defines for kernels, in its order."""
    found = dict.fromkeys(_DEFINE.findall((HEADERS / header).read_text(encoding="utf-8")))
    for scope, statement, _ in statements([Token(match[0], match.start()) for match in _TOKEN.finditer(expanded)]):
        if not scope.startswith("minisk") and statement:
            prefix = "" if scope in ("", '"C"') else scope
            found.update(dict.fromkeys(prefix + name for name in _names(statement)))
    return [word for word in found if not _NOT_WORDS.fullmatch(word)]


def _names(statement: list[Token]) -> Iterator[str]:
    """Yield the names that a statement declares: of a function, of types, or of variables."""
    text = " ".join(token.text for token in statement)
    text = re.sub(r"__attribute__ \( \(.*?\) \) |alignas \( .*? \) (?=minisk|\w+ (?:$|;))", "", text)
    words = re.sub(r"^template < [^(]*? > (?=static|struct|using)", "", text).split(" ")
    if "operator" in words or words[:2] == ["using", "namespace"]:
        return
    if words[0] in ("using", "struct", "class"):
        yield next(word for word in words[1:] if word.isidentifier() and word not in ("alignas", "sizeof"))
    elif "(" in words and "=" not in words[: words.index("(")]:
        yield words[words.index("(") - 1]
    elif words[0] in ("static", "constexpr"):  # variables
        for part in " ".join(words).split(" , "):
            yield re.split(r" [=;{\[]", part)[0].split(" ")[-1]


def _description(header: str) -> str:
    """Return the first sentence of a header's comment, after its name."""
    comment = []
    for line in (HEADERS / header).read_text(encoding="utf-8").splitlines():
        if not line.startswith("// "):
            break
        comment.append(line.removeprefix("// "))
    text = " ".join(comment).split(": ", 1)[1]
    sentence = re.split(r"(?<=[a-z0-9)])\. ", text.rstrip("."))[0]
    return sentence[0].upper() + sentence[1:]


def _listed(words: list[str]) -> str:
    return textwrap.fill(" ".join(f"`{word}`" for word in words), 120, break_long_words=False, break_on_hyphens=False)


def page() -> str:
    """Return the text of docs/cuda-words.md."""
    expanded = expanded_headers()
    families = [name for name in expanded if name.startswith("vocabulary/")]
    parts = [HEAD]
    for header in [*EXECUTOR, *families]:
        words = words_of(header, expanded[header])
        if words:
            parts.append(f"## {header}\n\n{_description(header)}.\n\n{_listed(words)}\n")
    folder = HEADERS / "nvidia"
    headers = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    intro = "These may be included. All but those of `cuda/std` are empty, because their words are always defined."
    parts.append(f"## Headers\n\n{intro}\n\n{_listed(headers)}\n")
    rows = [f"| {' '.join(f'`{word}`' for word in family.words)} | {family.sentence} |" for family in unsupported()]
    table = "\n".join(["| words | |", "|---|---|", *rows])
    intro = "A kernel file with one of these words is refused with the sentence beside it; `*` stands for any letters."
    parts.append(f"## Not supported\n\n{intro}\n\n{table}\n")
    return "\n".join(parts)


def main() -> int:
    """Write the page, or with --check compare it. Return 1 if it differs."""
    text = page()
    if "--check" in sys.argv:
        return int(PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
