"""The user's cache folder, which MINISK_CACHE moves elsewhere."""

import os
from pathlib import Path


def cache_path(name: str) -> Path:
    """Return where a kind of cached files lies: $MINISK_CACHE/name, or minisk/name in the user's cache folder.

    Nothing is created. Raises RuntimeError if the user has no home folder.
    """
    if os.environ.get("MINISK_CACHE"):
        return Path(os.environ["MINISK_CACHE"]) / name
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minisk" / name
