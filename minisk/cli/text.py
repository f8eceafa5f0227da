"""Text that more than one command prints."""


def printable(text: str) -> str:
    """Return the text, escaped if it holds characters that would move a terminal's cursor or cannot be encoded."""
    return text if text.isprintable() else repr(text)


def escaped(text: str) -> str:
    """Return the text with backslash escapes for control characters and for what cannot be encoded, but lines kept."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def flag(setting: str) -> str:
    """Return the command-line flag of a setting, such as --batch-size."""
    return f"--{setting.replace('_', '-')}"
