"""Grad mode: whether operations are recorded in a graph. Each thread has its own mode."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class _State(threading.local):
    enabled = True


state = _State()


class GradMode:
    """Turn recording on or off inside a `with` block, or inside each call of a decorated function.

    Args:
        enabled: whether operations on Tensors that require gradients are recorded.
    """

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._before: list[bool] = []  # a stack: one object may be entered twice

    def __enter__(self) -> None:
        self._before.append(state.enabled)
        state.enabled = self.enabled

    def __exit__(self, *exception: object) -> None:
        state.enabled = self._before.pop()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def decorated(*args: P.args, **kwargs: P.kwargs) -> R:
            with GradMode(self.enabled):
                return function(*args, **kwargs)

        return decorated


def no_grad() -> GradMode:
    """Return a context in which nothing is recorded: `with ms.no_grad(): …`, or the decorator `@ms.no_grad()`."""
    return GradMode(False)


def enable_grad() -> GradMode:
    """Return a context in which operations are recorded, also inside `no_grad()`; a decorator too."""
    return GradMode(True)


def is_grad_enabled() -> bool:
    """Return whether operations on Tensors that require gradients are being recorded in this thread."""
    return state.enabled
