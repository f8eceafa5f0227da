"""Modes that are switched on or off for a part of a program; here, whether operations are recorded in a graph.

Each thread has its own modes. Anomaly mode (anomaly.py) is another `Mode`.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ..errors import MiniskError

P = ParamSpec("P")
R = TypeVar("R")


class State(threading.local):
    """Whether a mode is on in the current thread."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled


state = State(True)


class Mode:
    """Turn a mode on or off inside a `with` block, or inside each call of a decorated function.

    Args:
        state: of the mode.
        enabled: whether to turn it on.
    """

    def __init__(self, state: State, enabled: bool) -> None:
        self.state = state
        self.enabled = enabled
        self._before: list[bool] = []  # a stack: one object may be entered twice

    def __enter__(self) -> None:
        self._before.append(self.state.enabled)
        self.state.enabled = self.enabled

    def __exit__(self, *exception: object) -> None:
        self.state.enabled = self._before.pop()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function. Raises MiniskError for a generator function: its call runs nothing of its body."""
        if inspect.isgeneratorfunction(function):
            raise MiniskError(f"{function.__name__} is a generator: a mode can't decorate it, use `with` in its body")

        @functools.wraps(function)
        def decorated(*args: P.args, **kwargs: P.kwargs) -> R:
            with Mode(self.state, self.enabled):
                return function(*args, **kwargs)

        return decorated


def no_grad() -> Mode:
    """Return a context in which nothing is recorded: `with ms.no_grad(): …`, or the decorator `@ms.no_grad()`."""
    return Mode(state, False)


def enable_grad() -> Mode:
    """Return a context in which operations are recorded, also inside `no_grad()`; a decorator too."""
    return Mode(state, True)


def is_grad_enabled() -> bool:
    """Return whether operations on Tensors that require gradients are being recorded in this thread."""
    return state.enabled
