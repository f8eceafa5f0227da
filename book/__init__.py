"""The book: fourteen chapters that run. `python -m book` lists them; book/README.md describes the form of a chapter."""

from .chapters import build
from .progress import mine

__all__ = ["build", "mine"]
