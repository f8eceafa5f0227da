"""Mutants of a kernel file: its text with one typical mistake put in.

    barrier      __syncthreads() removed                          bound    < for <=, > for >=, == for !=
    constant     n + 1 or n - 1 for an integer n                  guard    a condition negated, dropped, or one side of
    assignment   `= x` of a variable or an array's element dropped         its && or || dropped; min for max
    coordinate   blockDim.x for gridDim.x, x for y                offset   + for -, / for %, a term or a factor dropped

C++ is read as a sequence of tokens, not parsed. Two conventions of the kernels make that sufficient: a binary operator
stands between spaces, and brackets close in the branch of an #if in which they were opened.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

# Constants that decide the speed of a kernel, not its result, are not changed: (file, name) and the reason.
TUNING = {
    ("common.cuh", "REAL"): "a type, set at each build",
    ("common.cuh", "INDEX"): "a type, set at each build",
    ("common.cuh", "INFINITY"): "for NVRTC only; C++ compilers define it",
    ("common.cuh", "NEIGHBOURS"): "neighbours of a thread; every number is right",
    ("common.cuh", "RUN_TERMS"): "terms that are added in one run; every number is right",
    ("select.cu", "BRANCHES"): "set at each build",
    ("convolution.cu", "TILE_OUT"): "size of the register tile, set at each build",
    ("convolution.cu", "MOST_VECTORS"): "size of the register tile",
    ("convolution.cu", "PACKED"): "how the weights lie, set at each build",
    ("lanes.cuh", "LANES"): "size of a team, set at each build",
    ("weight_gradient.cu", "TILE_OUT"): "size of the register tile, set at each build",
    ("convolution.cuh", "MOST_TAPS"): "size of an array; larger convolutions use matrix products",
    ("lanes.cuh", "VECTOR_BYTES"): "size of the processor's registers",
    ("lanes.cuh", "VECTOR"): "elements in a register",
    ("lanes.cuh", "SUMS"): "registers for sums",
    ("lanes.cuh", "OUT_SUMS"): "registers for sums of outputs",
    ("lanes.cuh", "TILE_TAPS"): "size of the register tile",
    ("lanes.cuh", "MOST_OUT_VECTORS"): "the most vectors of a tile, which the layouts know too",
    ("lanes.cuh", "OUT_VECTORS"): "the most vectors of a tile; others compile smaller ones too",
    ("lanes.cuh", "STEP"): "positions read at once, by the sizes above",
}

_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/|\\\n|\"(?:\\.|[^\"\\])*\"|[A-Za-z_]\w*|\.?\d(?:[eEpP][+-]|[\w.])*"
    r"|<<=|>>=|[-+*/%&|^=!<>]=|&&|\|\||\+\+|--|->|::|<<|>>|\S",
    re.DOTALL,
)
_DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(?P<name>\w+)(?P<rest>(?:[^\\\n]|\\\n|\\.)*)", re.MULTILINE)
_MACRO = re.compile(r"\s*(?P<name>\w+)(?P<parameters>\([^)]*\))?")
_INTEGER = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)")
_WORD = re.compile(r"[A-Za-z_]\w*")

_TYPES = {"int", "unsigned", "long", "bool", "char", "float", "double", "real", "wide", "index_t", "lanes", "T"}
_ARITHMETIC = {"+", "-", "*", "/", "%"}
# Tokens that end an operand, by operator precedence, lowest first.
_OUTER = {",", ";", "?", ":", "=", "+=", "-=", "*=", "/=", "return", "else"}
_LOGIC = _OUTER | {"||"}
_COMPARED = _LOGIC | {"&&", "|", "^", "&", "==", "!=", "<", ">", "<=", ">=", "<<", ">>"}
_SUMMED = _COMPARED | {"+", "-"}
_MULTIPLIED = _SUMMED | {"*", "/", "%"}
_OPEN, _CLOSED = {"(", "[", "{"}, {")", "]", "}"}
_SWAPPED = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "==": "!=",
    "!=": "==",
    "+": "-",
    "-": "+",
    "/": "%",
    "%": "/",
    "+=": "-=",
    "-=": "+=",
    "++": "--",
    "--": "++",
}
_CLAMPS = {"min": "max", "max": "min", "least": "most", "most": "least"}
_COORDINATES = {"blockDim": "gridDim", "gridDim": "blockDim", "threadIdx": "blockIdx", "blockIdx": "threadIdx"}


class Mutant(NamedTuple):
    """A mistake: text[start:end] of a file is replaced. modes: those that run the changed code, "check" and "cpu"."""

    file: str
    start: int
    end: int
    replacement: str
    operator: str
    modes: tuple[str, ...]

    def applied(self, text: str) -> str:
        return text[: self.start] + self.replacement + text[self.end :]

    def line(self, text: str) -> int:
        return text.count("\n", 0, self.start) + 1

    def changed_lines(self, text: str) -> tuple[str, str]:
        """Return the lines that it changes, before and after: each joined to one line, without comments."""
        first, last = text.rfind("\n", 0, self.start) + 1, text.find("\n", self.end)
        before = text[first:last]
        after = text[first : self.start] + self.replacement + text[self.end : last]
        return without_comments(before), without_comments(after)


class Token(NamedTuple):
    """A token: text[start:end] of the file. is_binary: there is a space on both sides."""

    text: str
    start: int
    end: int
    is_binary: bool


def without_comments(code: str) -> str:
    """Return lines of C++ joined to one line, without // comments."""
    return " ".join(re.sub(r"//[^\n]*", "", code).split())


def mutants(file: Path) -> list[Mutant]:
    """Return every mutant of a kernel file, in the order of its text."""
    text = file.read_text(encoding="utf-8")
    modes, macros = _modes(text), [*_macro_bodies(text)]
    found: list[Mutant] = []
    seen = {text}
    streams = [(_tokens(text, *span), True) for name, span in macros if (file.name, name) not in TUNING]
    for tokens, is_macro in [*streams, (_tokens(_without_directives(text)), False)]:
        for operator, start, end, replacement in _Changes(text, tokens, is_macro).all():
            mutant = Mutant(file.name, start, end, replacement, operator, modes[text.count("\n", 0, start)])
            if mutant.modes and mutant.applied(text) not in seen:
                seen.add(mutant.applied(text))
                found.append(mutant)
    return sorted(found, key=lambda mutant: mutant.start)


def _tokens(text: str, start: int = 0, end: int | None = None) -> list[Token]:
    found = []
    for match in _TOKEN.finditer(text, start, len(text) if end is None else end):
        if not match[0].startswith(("//", "/*", "\\\n")):
            around = text[match.start() - 1 : match.start()] + text[match.end() : match.end() + 1]
            found.append(Token(match[0], match.start(), match.end(), len(around) == 2 and around.isspace()))
    return found


def _without_directives(text: str) -> str:
    return _DIRECTIVE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def _macro_bodies(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    for directive in _DIRECTIVE.finditer(text):
        macro = _MACRO.match(directive["rest"])
        if directive["name"] == "define" and macro:
            yield macro["name"], (directive.start("rest") + macro.end(), directive.end())


def _modes(text: str) -> list[tuple[str, ...]]:
    """Return for each line the modes in which it is compiled."""
    both = frozenset({"check", "cpu"})
    meant = {
        "MINISK_ONE_THREAD": frozenset({"cpu"}),
        "MINISK_CHECK": frozenset({"check"}),
        "MINISK_ON_CPU": both,
    }
    lines, stack = [], [(both, both)]  # the modes inside and outside the current #if
    for line in text.split("\n"):
        match = _DIRECTIVE.match(line)
        name, rest = (match["name"], match["rest"].strip()) if match else ("", "")
        outside = stack[-1][0]
        if name == "ifdef":
            stack.append((outside & meant.get(rest, both), outside))
        elif name == "ifndef":
            stack.append((outside & (both - meant[rest] if rest in meant else both), outside))
        elif name == "if":
            stack.append((outside, outside))
        elif name == "else" and stack[-1][0] != stack[-1][1]:
            stack[-1] = (stack[-1][1] - stack[-1][0], stack[-1][1])
        elif name == "endif":
            stack.pop()
        lines.append(tuple(sorted(stack[-1][0])))
    return lines


class _Changes:
    """All changes to a sequence of tokens, as (operator, start, end, replacement)."""

    def __init__(self, text: str, tokens: list[Token], is_macro: bool) -> None:
        self.text, self.tokens, self.is_macro = text, tokens, is_macro
        self.partner: dict[int, int] = {}
        opened: list[int] = []
        self.depth = []
        for i, token in enumerate(tokens):
            if token.text in _OPEN:
                opened.append(i)
            elif token.text in _CLOSED and opened:
                self.partner[i] = opened.pop()
                self.partner[self.partner[i]] = i
            self.depth.append(sum(tokens[j].text == "{" for j in opened))

    def all(self) -> Iterator[tuple[str, int, int, str]]:
        for i, token in enumerate(self.tokens):
            if self.is_macro or self.depth[i] > 0:
                yield from self._of(i, token)

    def _of(self, i: int, token: Token) -> Iterator[tuple[str, int, int, str]]:
        yield from self._of_operator(i, token)
        text, after = token.text, self._text(i + 1)
        if text in ("__syncthreads", "__syncwarp"):
            yield "barrier", token.start, self.tokens[self.partner[i + 1]].end, ""
        elif _INTEGER.fullmatch(text):
            yield from self._constants(i, token)
        elif text in _COORDINATES and after == ".":
            yield from self._coordinates(i, token)
        elif text in _CLAMPS and after == "(":
            yield "guard", token.start, token.end, _CLAMPS[text]
        elif text == "if" and after == "(":
            yield from self._condition(i)
        elif text == "?":
            yield from self._replaced("guard", self._left(i, _OUTER), i - 1, ("!({})", "true", "false"))

    def _of_operator(self, i: int, token: Token) -> Iterator[tuple[str, int, int, str]]:
        text = token.text
        if text in _SWAPPED and (token.is_binary or text in ("++", "--")):
            yield "bound" if text in _COMPARED else "offset", token.start, token.end, _SWAPPED[text]
        if text in _ARITHMETIC and token.is_binary:
            stops = _SUMMED if text in ("+", "-") else _MULTIPLIED
            yield from self._dropped("offset", i, stops, both=text in ("+", "*"))
        elif text in ("&&", "||"):
            yield from self._dropped("guard", i, _LOGIC if text == "||" else _LOGIC | {"&&"}, both=True)
        elif text in ("-", "!"):
            yield "offset" if text == "-" else "guard", token.start, token.end, ""
        elif text == "+=":
            yield "offset", token.start, token.end, "="
        elif text == "=":
            yield from self._assignment(i)

    def _text(self, i: int) -> str:
        return self.tokens[i].text if 0 <= i < len(self.tokens) else ""

    def _constants(self, i: int, token: Token) -> Iterator[tuple[str, int, int, str]]:
        match = _INTEGER.fullmatch(token.text)
        assert match
        value = int(match[1], 0)
        is_size = self._text(i - 1) == "[" and (self._text(i - 3) in _TYPES or self._text(i - 3) == "*")
        if not is_size and match[1].isdigit():  # a larger array changes nothing
            yield "constant", token.start, token.end, f"{value + 1}{match[2]}"
        if value:
            yield "constant", token.start, token.end, f"{value - 1}{match[2]}"

    def _coordinates(self, i: int, token: Token) -> Iterator[tuple[str, int, int, str]]:
        yield "coordinate", token.start, token.end, _COORDINATES[token.text]
        axis = self.tokens[i + 2]
        yield "coordinate", axis.start, axis.end, {"x": "y", "y": "x", "z": "x"}[axis.text]

    def _condition(self, i: int) -> Iterator[tuple[str, int, int, str]]:
        closed = self.partner[i + 1]
        # The condition of an exit is dropped together with the exit.
        dropped = "false" if self._text(closed + 1) in ("return", "continue", "break") else "true"
        yield from self._replaced("guard", i + 2, closed - 1, ("!({})", dropped))

    def _replaced(
        self, operator: str, first: int, last: int, forms: Collection[str]
    ) -> Iterator[tuple[str, int, int, str]]:
        start, end = self.tokens[first].start, self.tokens[last].end
        for form in forms:
            yield operator, start, end, form.format(self.text[start:end])

    def _dropped(
        self, operator: str, i: int, stops: Collection[str], both: bool
    ) -> Iterator[tuple[str, int, int, str]]:
        """Yield changes that drop one operand of the operator at i, and the operator."""
        left, right = self._left(i, stops), self._right(i, stops)
        if left < i < right:
            yield operator, self.tokens[i].start, self.tokens[right].end, ""
            if both:
                yield operator, self.tokens[left].start, self.tokens[i + 1].start, ""

    def _assignment(self, i: int) -> Iterator[tuple[str, int, int, str]]:
        first = i
        while first > 0 and self._text(first - 1) not in (";", "{", "}", "(", "else"):
            first = self.partner.get(first - 1, first - 1) if self._text(first - 1) in _CLOSED else first - 1
        words = [self._text(j) for j in range(first, i)]
        if words[0] in ("const", "constexpr", "static", "template", "typedef", "using", "#"):
            return
        is_declaration = words[0] in _TYPES and len(words) > 1 and (words[1] == "*" or _WORD.fullmatch(words[1]))
        if is_declaration:
            yield "assignment", self.tokens[i - 1].end, self.tokens[self._right(i, {",", ";"})].end, ""
        else:
            target = self._left(i, _OUTER, is_target=True)
            yield "assignment", self.tokens[target].start, self.tokens[i + 1].start, ""

    def _is_stop(self, i: int, stops: Collection[str]) -> bool:
        token = self.tokens[i]
        is_operator = token.text in _ARITHMETIC | {"<", ">", "&"}
        return token.text in stops and (token.is_binary or not is_operator)

    def _left(self, i: int, stops: Collection[str], is_target: bool = False) -> int:
        """Return the index of the first token of the operand before token i."""
        j = i - 1
        while j >= 0:
            text = self._text(j)
            if text in _OPEN or text in ";}" or self._is_stop(j, stops):
                break
            if text == ")":
                # TILE_LOOP(i, n) out[i] = …, if (…) x = …: the target of the assignment begins after the bracket.
                if is_target and self._text(j + 1) not in (".", "[", "->"):
                    break
                j = self.partner[j]
            elif text == "]":
                j = self.partner[j]
            j -= 1
        return j + 1

    def _right(self, i: int, stops: Collection[str]) -> int:
        """Return the index of the last token of the operand after token i."""
        j = i + 1
        while j < len(self.tokens):
            if self._text(j) in _CLOSED or self._text(j) == ";" or self._is_stop(j, stops):
                break
            j = self.partner.get(j, j) if self._text(j) in _OPEN else j
            j += 1
        return j - 1


class Part(NamedTuple):
    """A function, kernel, structure or macro: its span, the names it defines, and all names it mentions."""

    start: int
    end: int
    names: frozenset[str]
    mentions: frozenset[str]


def parts(text: str) -> list[Part]:
    """Return the parts of a file, cut at its outermost level."""
    found = []
    for directive in _DIRECTIVE.finditer(text):
        macro = _MACRO.match(directive["rest"])
        if directive["name"] == "define" and macro:
            words = frozenset(_WORD.findall(directive["rest"]))
            found.append(Part(directive.start(), directive.end(), frozenset({macro["name"]}), words))
    tokens, depth, first = _tokens(_without_directives(text)), 0, 0
    for i, token in enumerate(tokens):
        depth += (token.text in _OPEN) - (token.text in _CLOSED)
        ends = token.text == ";" or (token.text == "}" and i + 1 < len(tokens) and tokens[i + 1].text != ";")
        if depth == 0 and (ends or i + 1 == len(tokens)):
            piece = tokens[first : i + 1]
            texts = [t.text for t in piece]
            structures = [after for before, after in itertools.pairwise(texts) if before == "struct"]
            calls = [before for before, after in itertools.pairwise(texts) if after == "(" and _WORD.match(before)]
            functions = [name for name in calls if name != "__attribute__"]
            names = structures or functions[:1] or [""]
            mentions = frozenset(text for text in texts if _WORD.fullmatch(text))
            found.append(Part(piece[0].start, piece[-1].end, frozenset(names), mentions))
            first = i + 1
    return found


def affected(all_parts: Collection[Part], changed: Collection[str]) -> set[str]:
    """Return the changed names and those of all parts that mention one, directly or through other parts."""
    names = set(changed)
    while True:
        more = set().union(*(part.names for part in all_parts if part.mentions & names)) - names
        if not more:
            return names
        names |= more
