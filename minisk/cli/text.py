"""Text that more than one command prints."""


def printable(text: str) -> str:
    """Return the text, escaped if it holds characters that would move a terminal's cursor or cannot be encoded."""
    return text if text.isprintable() else repr(text)


def flag(setting: str) -> str:
    """Return the command-line flag of a setting, such as --batch-size."""
    return f"--{setting.replace('_', '-')}"
