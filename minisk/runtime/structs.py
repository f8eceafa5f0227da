"""The structs of a kernel file: names and types of their fields, so that Python can pass them by value.

As declarations.py, a scanner of words: where it is not sure of all fields, it says why, and Python passes bytes.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from .declarations import (
    STRUCT_KEYWORDS,
    Statement,
    Token,
    after_template,
    closing_bracket,
    joined,
    opens_struct,
    spaced,
    split,
    statements,
    tokens_of,
    without_alignment,
)

_NOT_OF_THE_TYPE = {"const", "volatile", "mutable", "struct", "*"}
_NO_FIELD = {"static", "using", "typedef", "friend", "static_assert", "template", "constexpr", "operator"}


class Field(NamedTuple):
    """A field as written.

    length: of an array, 1 if it is none, 0 if its length is no number; is_pointer: or an array of pointers.
    """

    name: str
    type: str
    length: int
    is_pointer: bool


class Struct(NamedTuple):
    """A struct as written.

    name: with its namespaces, and with the parameters of a template, "ns::View<T>"; words: its names without them;
    template: the parameters as declared, without defaults, or None; problem: why its fields are not known, or "".
    """

    name: str
    words: tuple[str, ...]
    template: str | None
    fields: tuple[Field, ...]
    problem: str
    position: int


class _Unclear(Exception):
    """The fields are not known; the message says why."""


def structs(code: str) -> list[Struct]:
    """Return the structs that a text without comments and directives defines at file scope and in namespaces."""
    defined = [each for each in statements(tokens_of(code)) if each.body and opens_struct(each.words)]
    found = [struct for each in defined if (struct := _struct(each)) is not None]
    names = [struct.name for struct in found]
    twice = "the file has two structs of this name"
    return [struct if names.count(struct.name) == 1 else struct._replace(problem=twice) for struct in found]


def _struct(statement: Statement) -> Struct | None:
    """Return the struct that a statement defines; None if it has no name."""
    template, rest = after_template(statement.words)
    position = statement.body[0].position
    head = [token.text for token in without_alignment(rest) if token.position < position and token.text != "final"]
    tail = [token.text for token in rest if token.position > position]
    is_typedef = head[0] == "typedef"
    keyword, *head = head[is_typedef:]
    aliases = [text for text in tail if text.isidentifier()] if is_typedef else []
    bases = head[head.index(":") :] if ":" in head else []
    name = spaced(head[: len(head) - len(bases)]) or (aliases[0] if aliases else "")
    if not name:
        return None
    names = (name.partition("<")[0], *aliases)
    declared = None
    if template is not None:
        parameters = [_without_default(part) for part in split(template)]
        declared = ", ".join(map(joined, parameters))
        name += f"<{', '.join(map(_template_argument, parameters))}>" if declared and "<" not in name else ""
    try:
        if bases:
            raise _Unclear("it inherits from another one")
        fields, problem = _fields(statement.body[1:-1], keyword), ""
    except _Unclear as reason:
        fields, problem = [], str(reason)
    scope = statement.scope.replace('"C"', "")
    return Struct(scope + name, names, declared, tuple(fields), problem, statement.words[0].position)


def _template_argument(parameter: Sequence[Token]) -> str:
    words = [token.text for token in parameter]
    return words[-1] + ("..." if "..." in words else "") if words else ""


def _without_default(parameter: Sequence[Token]) -> list[Token]:
    texts = [token.text for token in parameter]
    return list(parameter[: texts.index("=")] if "=" in texts else parameter)


def _fields(body: Sequence[Token], keyword: str) -> list[Field]:
    """Return the fields of a struct's body. Raises _Unclear."""
    if keyword == "union":
        raise _Unclear("it is a union")
    is_private = keyword == "class"
    fields: list[Field] = []
    for member in _members(body):
        if [token.text for token in member[1:]] == [":"]:
            is_private = member[0].text != "public"
            continue
        found = _fields_of_member(member)
        if found and is_private:
            raise _Unclear(f"its field {found[0].name} is private")
        fields += found
    if not fields:
        raise _Unclear("it has no fields")
    return fields


def _members(body: Sequence[Token]) -> list[list[Token]]:
    """Return the members of a struct: fields, nested types, functions, and words such as "public:"."""
    members: list[list[Token]] = [[]]
    i = 0
    while i < len(body):
        text, member = body[i].text, members[-1]
        if text in ("(", "[", "{"):
            end = closing_bracket(body, i)
            is_function = text == "{" and any(token.text == "(" for token in member)
            member += body[i:end]
            i = end
            if is_function:
                members.append([])
            continue
        if text != ";":
            member.append(body[i])
        is_label = text == ":" and member[0].text in ("public", "private", "protected")
        if text == ";" or is_label:
            members.append([])
        i += 1
    return [member for member in members if member]


def _fields_of_member(member: Sequence[Token]) -> list[Field]:
    tokens = without_alignment(member)
    texts = [token.text for token in tokens]
    if "virtual" in texts:
        raise _Unclear("it has virtual functions")
    if texts[0] in STRUCT_KEYWORDS | {"enum"} and "{" in texts:
        opening = texts.index("{")
        is_type = texts[0] == "enum" or (opening > 1 and closing_bracket(tokens, opening) == len(tokens))
        if not is_type:
            raise _Unclear("a struct without a name stands in it")
        return []
    if _NO_FIELD & set(texts) or "__device__" in texts or "__host__" in texts:
        return []
    if "(" in texts and "=" not in texts[: texts.index("(")]:
        if "*" in texts[texts.index("(") : texts.index("(") + 3]:
            raise _Unclear("it has a pointer to a function")
        return []
    for sign, what in ((":", "a bit field"), ("&", "a reference")):
        if sign in texts:
            raise _Unclear(f"it has {what}")
    return _declared(tokens)


def _declared(tokens: Sequence[Token]) -> list[Field]:
    """Return the fields that a declaration such as `int n, size[3]` names."""
    fields: list[Field] = []
    type_ = ""
    for number, part in enumerate(split(tokens)):
        texts = [token.text for token in part]
        for stop in ("=", "{"):
            texts = texts[: texts.index(stop)] if stop in texts else texts
        plain = texts[: texts.index("[")] if "[" in texts else texts
        if not plain or not plain[-1].isidentifier():
            raise _Unclear(f"`{spaced(texts)}` is not understood")
        if number == 0:
            type_ = spaced([text for text in plain[:-1] if text not in _NOT_OF_THE_TYPE])
        lengths = [texts[i + 1] for i, text in enumerate(texts) if text == "["]
        length = math.prod(int(each) if each.isdigit() else 0 for each in lengths)
        fields.append(Field(plain[-1], type_, length, "*" in plain))
    return fields
