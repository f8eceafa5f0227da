"""Observers: code that watches every operation and every backward, such as the profiler.

The list is one for the whole process. While it is empty, an operation pays for two empty loops.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .function import Function
    from .graph import Node
    from .tensor import Tensor


class Observer:
    """Base class: every method does nothing; override those you need, and pass an instance to `observe`.

    Calls are nested where operations are: a backward runs operations of its own between before_backward and
    after_backward. An operation or backward that raises has no call of after_….
    """

    def before_forward(self, function: type[Function], inputs: tuple[Any, ...], settings: dict[str, Any]) -> None:
        """Handle an operation that is about to run.

        Args:
            function: the Function class.
            inputs: the positional arguments of `apply`: Tensors and others.
            settings: the keyword arguments of `apply`.
        """

    def after_forward(
        self,
        function: type[Function],
        inputs: tuple[Any, ...],
        settings: dict[str, Any],
        outputs: tuple[Tensor, ...],
        node: Node | None,
    ) -> None:
        """Handle an operation that has run.

        Args:
            function, inputs, settings: as in before_forward.
            outputs: its results.
            node: its place in the graph; None if it was not recorded.
        """

    def before_backward(self, node: Node, gradients: Sequence[Tensor | None]) -> None:
        """Handle a node whose backward is about to run.

        Args:
            node: the recorded operation.
            gradients: one for each of its outputs; None where no gradient arrived.
        """

    def after_backward(self, node: Node, gradients: Sequence[Tensor | None], results: Sequence[Tensor | None]) -> None:
        """Handle a node whose backward has run.

        Args:
            node, gradients: as in before_backward.
            results: one gradient for each input; None where it is not needed.
        """


observers: list[Observer] = []


@contextlib.contextmanager
def observe(observer: Observer) -> Iterator[None]:
    """Call the observer's methods for everything that runs inside the `with` block, in every thread."""
    observers.append(observer)
    try:
        yield
    finally:
        # The last equal entry, by identity: an observer may be added twice.
        position = max(i for i, entry in enumerate(observers) if entry is observer)
        del observers[position]
