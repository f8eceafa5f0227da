"""Blank the host code of a kernel file: NVRTC compiles device code only, and names what it takes for host code."""

import re

from .declarations import without_comments

_NAME = re.compile(r"(?P<name>[\w:~]+)\s*[\[(=;{]")


def blank_declaration(text: str, line: int) -> tuple[str, str]:
    """Replace a function or variable by blanks, so that lines keep their numbers.

    Args:
        text: of the file.
        line: on which its name stands, from 1.

    Returns:
        The text, and the name.
    """
    code = without_comments(text)
    named = sum(len(each) + 1 for each in code.split("\n")[: line - 1])
    found = _NAME.search(code, named)
    start = max(code.rfind(end, 0, named) for end in (";", "}", "{")) + 1
    start = max(start, _after_directives(code, named))
    end = end_of_declaration(code, found.start("name") if found else named)
    blank = re.sub(r"[^\n]", " ", text[start:end])
    return text[:start] + blank + text[end:], found["name"] if found else ""


def _after_directives(code: str, position: int) -> int:
    """Return the end of the last preprocessor line before a position."""
    ends = [match.end() for match in re.finditer(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", code[:position], re.MULTILINE)]
    return ends[-1] if ends else 0


def end_of_declaration(code: str, position: int) -> int:
    """Return the position after the body of a function, or after the semicolon of a variable."""
    depth = 0
    for index in range(position, len(code)):
        letter = code[index]
        if letter in "{(":
            depth += 1
        elif letter in "})":
            depth -= 1
            if letter == "}" and depth == 0 and not code[index + 1 :].lstrip().startswith(";"):
                return index + 1
        elif letter == ";" and depth == 0:
            return index + 1
    return len(code)
