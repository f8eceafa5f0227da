"""Modes that are switched on or off for a part of a program; here, whether operations are recorded in a graph.

Each thread has its own modes. Anomaly mode (anomaly.py) is another `Mode`.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Generator
from typing import Any, ParamSpec, TypeVar, cast

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
        """Decorate a function or a generator function, whose mode holds only while its own code runs.

        Raises MiniskError for a coroutine function: its call runs nothing of its body.
        """
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise MiniskError(f"{function.__name__} is async: a mode can't decorate it, use `with` in its body")

        @functools.wraps(function)
        def decorated(*args: P.args, **kwargs: P.kwargs) -> R:
            if inspect.isgeneratorfunction(function):
                return cast(R, self._run_generator(function(*args, **kwargs)))
            with Mode(self.state, self.enabled):
                return function(*args, **kwargs)

        return decorated

    def _run_generator(self, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Yield what the generator yields. Between two of its steps the caller's mode holds."""
        resume: Callable[[Any], Any] = generator.send
        value = None
        while True:
            try:
                with Mode(self.state, self.enabled):
                    result = resume(value)
            except StopIteration as end:
                return end.value
            try:
                resume, value = generator.send, (yield result)
            except BaseException as error:  # thrown in by the caller: the generator gets it, also GeneratorExit
                resume, value = generator.throw, error


def no_grad() -> Mode:
    """Return a context in which nothing is recorded: `with ms.no_grad(): …`, or the decorator `@ms.no_grad()`."""
    return Mode(state, False)


def enable_grad() -> Mode:
    """Return a context in which operations are recorded, also inside `no_grad()`; a decorator too."""
    return Mode(state, True)


def is_grad_enabled() -> bool:
    """Return whether operations on Tensors that require gradients are being recorded in this thread."""
    return state.enabled
