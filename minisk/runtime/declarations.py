"""Read the declarations of kernels and device variables in CUDA text: names, parameters, lines.

A scanner of words, not a parser of C++: it follows braces and parentheses, and reads only what stands at file scope or
in a namespace. Types are kept as written; the compiler says what they are (include/exports.h).
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
_WORD = re.compile(r'\w+|"[^"\n]*"|::|\.\.\.|[^\w\s]')
_CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}
# Words of a declaration that are neither part of the type nor of the name.
_QUALIFIERS = {"static", "inline", "extern", '"C"', "void", "__global__", "__forceinline__", "__noinline__"}
_WITH_ARGUMENTS = {"__launch_bounds__", "__attribute__", "__cluster_dims__"}
_TYPE_QUALIFIERS = {"const", "volatile", "__restrict__", "__restrict", "restrict", "__grid_constant__", "struct"}
STRUCT_KEYWORDS = {"struct", "class", "union"}
_ALIGNMENTS = {"__align__", "alignas", "__attribute__"}
_VARIABLES = {"__constant__", "__device__", "__managed__"}
_NOT_VARIABLES = {"__shared__", "__host__", "template", "using", "typedef", "operator"}


class Token(NamedTuple):
    """A word of the text and where it begins."""

    text: str
    position: int


class Statement(NamedTuple):
    """A declaration: its scope ("ns::"), its words without the body, and the body of a function or a struct, or []."""

    scope: str
    words: list[Token]
    body: list[Token]


class DeclaredParameter(NamedTuple):
    """A parameter as written. type: without const, volatile, * and []; pointers: how many * and [] it has."""

    name: str
    type: str
    pointers: int
    is_const: bool


class Declaration(NamedTuple):
    """A `__global__` function as written.

    name: with its namespaces, and with its arguments if it is an instantiation of a template; template: the template's
    parameters, or None; bounds: the text between the parentheses of __launch_bounds__, or None; is_c: extern "C".
    """

    name: str
    parameters: tuple[DeclaredParameter, ...]
    template: str | None
    bounds: str | None
    any_block: bool
    is_c: bool
    position: int


class Declarations(NamedTuple):
    """The kernels of a text, and the names of its `__constant__` and `__device__` variables."""

    kernels: list[Declaration]
    variables: list[str]


def without_comments(text: str) -> str:
    """Return the text with comments replaced by spaces; line ends and positions stay."""
    return _COMMENT_OR_STRING.sub(lambda found: found[0] if found[0][0] == '"' else _blanked(found), text)


def without_directives(code: str) -> str:
    """Return the text with the lines of the preprocessor replaced by spaces."""
    return _DIRECTIVE.sub(_blanked, code)


def directives(code: str) -> list[tuple[int, int]]:
    """Return where the lines of the preprocessor begin and end."""
    return [found.span() for found in _DIRECTIVE.finditer(code)]


def _blanked(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def declarations(code: str) -> Declarations:
    """Return what a text without comments and directives declares."""
    found = Declarations([], [])
    for scope, statement, body in statements(tokens_of(code)):
        words = {token.text for token in statement}
        if body and opens_struct(statement):
            continue
        if "__global__" in words:
            kernel = _kernel(scope, statement)
            found.kernels.extend([kernel] if kernel else [])
        elif words & _VARIABLES and not words & _NOT_VARIABLES:
            found.variables.extend(_variables(scope, statement))
    return found


def tokens_of(code: str) -> list[Token]:
    """Return the words of a text without comments and directives."""
    return [Token(match[0], match.start()) for match in _WORD.finditer(code)]


def statements(tokens: Sequence[Token]) -> Iterator[Statement]:
    """Yield the declarations at file scope and in namespaces."""
    scopes: list[str] = []
    words: list[Token] = []
    body: list[Token] = []  # of a struct
    has_value = False  # whether an initialiser has begun: braces after it belong to the statement
    i = 0
    while i < len(tokens):
        text = tokens[i].text
        if text == "{" and (scope := _scope_opened(words)) is not None:
            scopes.append(scope)
            words = []
        elif text in ("(", "{"):
            end = closing_bracket(tokens, i)
            if text == "(":
                words += tokens[i:end]
            elif words and not has_value and opens_struct(words):
                body = list(tokens[i:end])
            elif words and not has_value:  # the body of a function
                yield Statement("".join(scopes), words, list(tokens[i:end]))
                words = []
            i = end
            continue
        elif text in (";", "}"):
            if text == ";":
                yield Statement("".join(scopes), [*words, tokens[i]], body)
            else:
                scopes[-1:] = []
            words, body, has_value = [], [], False
        else:
            words.append(tokens[i])
            is_operator = any(token.text == "operator" for token in words[-3:])
            has_value |= text == "=" and words[0].text != "template" and not is_operator
        i += 1


def opens_struct(words: Sequence[Token]) -> bool:
    """Return whether these words, before a brace, begin the definition of a struct."""
    texts = [token.text for token in without_alignment(after_template(words)[1])]
    texts = texts[1:] if texts[:1] == ["typedef"] else texts
    return texts[:1] != [] and texts[0] in STRUCT_KEYWORDS and "(" not in texts


def after_template(words: Sequence[Token]) -> tuple[list[Token] | None, list[Token]]:
    """Return the parameters of a template, or None, and what follows them."""
    if [token.text for token in words[:2]] != ["template", "<"]:
        return None, list(words)
    end = closing_bracket(words, 1)
    return list(words[2 : end - 1]), list(words[end:])


def without_alignment(tokens: Sequence[Token]) -> list[Token]:
    """Return the words without `__align__(16)` and the like."""
    kept: list[Token] = []
    i = 0
    while i < len(tokens):
        has_argument = [token.text for token in tokens[i + 1 : i + 2]] == ["("]
        if tokens[i].text in _ALIGNMENTS and has_argument:
            i = closing_bracket(tokens, i + 1)
        else:
            kept.append(tokens[i])
            i += 1
    return kept


def _scope_opened(statement: Sequence[Token]) -> str | None:
    """Return the scope that a brace after these words opens ("ns::" or '"C"'), or None: it opens none."""
    words = [token.text for token in statement[:4]]
    if words == ["extern", '"C"']:
        return '"C"'
    if "namespace" not in words[:2] or "=" in words:
        return None
    return "".join(f"{token.text}::" for token in statement if token.text not in ("inline", "namespace", "::"))


def closing_bracket(tokens: Sequence[Token], start: int) -> int:
    """Return the index after the bracket that closes the one at `start`."""
    opening, closing, depth = tokens[start].text, _CLOSING[tokens[start].text], 0
    for i in range(start, len(tokens)):
        depth += (tokens[i].text == opening) - (tokens[i].text == closing)
        if depth == 0:
            return i + 1
    return len(tokens)


def _kernel(scope: str, statement: list[Token]) -> Declaration | None:
    """Return the kernel that a statement defines, or None: a mere declaration ends with a semicolon."""
    template, bounds, words = None, None, list(statement)
    is_instantiation = words[0].text == "template" and [word.text for word in words[1:2]] != ["<"]
    if words[-1].text == ";" and not is_instantiation:
        return None
    while [word.text for word in words[:2]] == ["template", "<"]:
        end = closing_bracket(words, 1)
        template = joined(words[2 : end - 1])
        words = words[end:]
    i = 0
    while i < len(words):
        if words[i].text in _WITH_ARGUMENTS and [word.text for word in words[i + 1 : i + 2]] == ["("]:
            end = closing_bracket(words, i + 1)
            if words[i].text == "__launch_bounds__":
                bounds = joined(words[i + 2 : end - 1])
            del words[i:end]
        else:
            i += 1
    any_block = any(word.text == "ANY_BLOCK" for word in words)
    texts = [word.text for word in words]
    start = texts.index("__global__") if "__global__" in texts else len(texts)
    opening = next((i for i, text in enumerate(texts) if text == "(" and i > start), None)
    if opening is None:
        return None
    name = declared_name([word.text for word in words[:opening]])
    inner = words[opening + 1 : closing_bracket(words, opening) - 1]
    parameters = tuple(
        _parameter(number, part) for number, part in enumerate(split(inner)) if joined(part) not in ("", "void")
    )
    if template == "":  # template <>: a specialisation is an instantiation
        template = None
    first = next(token.position for token in statement if token.text in {*_QUALIFIERS, "template"})
    is_c = any(word.text == '"C"' for word in statement) or '"C"' in scope
    return Declaration(scope.replace('"C"', "") + name, parameters, template, bounds, any_block, is_c, first)


def declared_name(words: list[str]) -> str:
    """Return the last word before the parameters, with template arguments and namespaces if it has any."""
    start = len(words) - 1
    if words[start] == ">":
        depth = 0
        while start >= 0:
            depth += (words[start] == ">") - (words[start] == "<")
            if depth == 0:
                break
            start -= 1
        start -= 1
    while start >= 2 and words[start - 1] == "::":
        start -= 2
    return spaced(words[start:])


def split(tokens: Sequence[Token]) -> list[list[Token]]:
    """Split tokens at the commas that stand outside all brackets."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.text in _CLOSING) - (token.text in _CLOSING.values())
        if token.text == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _parameter(number: int, tokens: list[Token]) -> DeclaredParameter:
    words = [token.text for token in tokens]
    if "=" in words:
        words = words[: words.index("=")]
    brackets = words.count("[")
    words = words[: words.index("[")] if brackets else words
    pointers, is_const = words.count("*") + brackets, "const" in (words[: words.index("*")] if "*" in words else words)
    words = [word for word in words if word not in _TYPE_QUALIFIERS]
    is_named = len(words) > 1 and words[-1].isidentifier() and words[-2] != "::"
    name = words.pop() if is_named else f"argument{number}"
    return DeclaredParameter(name, spaced([word for word in words if word != "*"]), pointers, is_const)


def _variables(scope: str, statement: list[Token]) -> Iterator[str]:
    """Yield the names that a statement such as `__constant__ float a[3], b;` declares."""
    for part in split(statement):
        words = [token.text for token in part]
        for stop in ("=", "[", ";", "("):
            words = words[: words.index(stop)] if stop in words else words
        is_function = "(" in [token.text for token in part] and "=" not in [token.text for token in part]
        if words and words[-1].isidentifier() and not is_function and "extern" not in words:
            yield scope.replace('"C"', "") + words[-1]


def joined(tokens: Sequence[Token]) -> str:
    """Join tokens as C++ is written."""
    return spaced([token.text for token in tokens])


def spaced(words: Sequence[str]) -> str:
    """Join words as C++ is written: a space between two names, and after a comma."""
    text = ""
    for word in words:
        needs_space = (text[-1:].isalnum() or text[-1:] in ("_", ",")) and (word[0].isalnum() or word[0] == "_")
        text += " " + word if needs_space else word
    return text
