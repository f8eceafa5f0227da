"""What running a program on either library has in common: the steps, the derivatives, and the outcome."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from steps import Call, Hook, Leaf, Program, Retain, Write, substitute


@dataclass
class Outcome:
    """The results of a program.

    values: every value at the time of its computation, and "… at the end" for those in memory after all writes.
    gradients: by label, such as "first v0"; those that hooks received are "backward-hook-0 v1 call 0", …
    dtypes: of every value and gradient, by the same labels.
    errors: the exception of each step that failed, by the step's index, and of each phase of differentiation.
    """

    values: dict[str, np.ndarray] = field(default_factory=dict)
    gradients: dict[str, np.ndarray] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    errors: dict[int | str, Exception] = field(default_factory=dict)


class Interpreter:
    """Runs a program; a subclass gives each kind of step its meaning in one library."""

    def __init__(self) -> None:
        self.environment: dict[str, Any] = {}
        self.outcome = Outcome()
        self.removers: list[Any] = []
        self.current_phase = ""

    # A subclass implements these.

    def leaf(self, step: Leaf) -> Any:
        raise NotImplementedError

    def call(self, step: Call, inputs: tuple[Any, ...], settings: dict[str, Any]) -> Sequence[Any]:
        raise NotImplementedError

    def write(self, step: Write) -> None:
        raise NotImplementedError

    def hook(self, target: Any, hook: Any) -> Any:
        """Register the hook, and return a function that removes it."""
        raise NotImplementedError

    def retain(self, target: Any) -> None:
        target.retain_grad()

    def no_grad(self) -> Any:
        raise NotImplementedError

    def constant(self, array: np.ndarray, like: Any, requires_grad: bool) -> Any:
        raise NotImplementedError

    def grad(self, outputs: Any, inputs: Any, incoming: Any, create_graph: bool) -> Any:
        raise NotImplementedError

    def array(self, value: Any) -> np.ndarray:
        raise NotImplementedError

    def dtype(self, value: Any) -> str:
        raise NotImplementedError

    # Steps

    def run(self, program: Program) -> Outcome:
        """Run all steps; a step that needs a value which failed is left out. Then differentiate."""
        for index, step in enumerate(program.steps):
            self.step(index, step)
        for name, value in self.environment.items():
            self.note(f"{name} at the end", value, self.outcome.values)
        with np.errstate(all="ignore"):
            self.differentiate(program)
        return self.outcome

    def step(self, index: int, step: Any) -> None:
        """Run one step and note its results, or its error."""
        if any(name not in self.environment for name in step.refs):
            return
        try:
            with np.errstate(all="ignore"):
                results = self.results(step)
        except Exception as error:  # of any class: the comparison judges it
            self.outcome.errors[index] = error
            return
        for name, result in zip(step.names, results, strict=True):
            self.environment[name] = result
            self.note(name, result, self.outcome.values)

    def results(self, step: Any) -> Sequence[Any]:
        if isinstance(step, Leaf):
            return [self.leaf(step)]
        if isinstance(step, Hook):
            self.add_hook(step)
        elif isinstance(step, Retain):
            self.retain(self.environment[step.target])
        else:
            with self.no_grad() if step.no_grad else contextlib.nullcontext():
                if isinstance(step, Call):
                    inputs, settings = substitute((step.inputs, step.settings), self.environment)
                    return self.call(step, inputs, settings)
                self.write(step)
        return []

    def add_hook(self, step: Hook) -> None:
        calls, number = self.outcome.gradients, len(self.removers)

        def hook(gradient: Any) -> Any:
            count = 0
            while (label := f"{self.current_phase}-hook-{number} {step.target} call {count}") in calls:
                count += 1
            self.note(label, gradient, calls)
            return None if step.factor is None else gradient * step.factor

        self.removers.append(self.hook(self.environment[step.target], hook))

    def note(self, label: str, value: Any, where: dict[str, np.ndarray]) -> None:
        where[label] = np.array(self.array(value))
        self.outcome.dtypes[label] = self.dtype(value)

    # Derivatives

    def differentiate(self, program: Program) -> None:
        """Run backward, first gradients with a graph, and second gradients; note each, or its error."""
        tracked = {name: value for name, value in self.environment.items() if value.requires_grad}
        outputs = [tracked[name] for name in program.outputs if name in tracked]
        leaves = [s.name for s in program.steps if isinstance(s, Leaf) and s.requires_grad and s.name in tracked]
        sources = {name: tracked[name] for name in (*leaves, *program.inner) if name in tracked}
        if not outputs or not sources:
            return
        gs = [self.constant(weights(program.seed, i, out.shape), out, True) for i, out in enumerate(outputs)]
        with self.phase("backward"):
            total = self.weighted_sum(outputs, gs)
            total.backward(retain_graph=True)
        for name, value in self.environment.items():
            if value.grad is not None:
                self.note(f"grad {name}", value.grad, self.outcome.gradients)
                value.grad = None
        firsts: Sequence[Any] = []
        with self.phase("first"):
            firsts = self.grad(outputs, list(sources.values()), gs, True)
            self.note_all("first", sources, firsts)
        for remove in self.removers:  # which hooks a second derivative meets depends on the formula of each backward
            remove()
        with self.phase("second"):
            drawn = [weights(program.seed, 100 + i, first.shape) for i, first in enumerate(firsts)]
            roots = [(r, self.constant(h, r, False)) for r, h in zip(firsts, drawn, strict=True) if r.requires_grad]
            named = sources | {f"g{i}": g for i, g in enumerate(gs)}
            if roots:
                firsts, hs = zip(*roots, strict=True)
                self.note_all("second", named, self.grad(firsts, list(named.values()), hs, False))
            elif firsts:  # nothing of them can be differentiated: zeros
                self.note_all("second", named, [self.constant(np.zeros(x.shape), x, False) for x in named.values()])

    def weighted_sum(self, outputs: Sequence[Any], gs: Sequence[Any]) -> Any:
        terms = [(out * g).sum() for out, g in zip(outputs, gs, strict=True)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term if self.dtype(term) == self.dtype(total) else total + self.converted(term, total)
        return total

    def converted(self, value: Any, like: Any) -> Any:
        raise NotImplementedError

    def note_all(self, order: str, sources: dict[str, Any], gradients: Sequence[Any]) -> None:
        for name, gradient in zip(sources, gradients, strict=True):
            self.note(f"{order} {name}", gradient, self.outcome.gradients)

    @contextlib.contextmanager
    def phase(self, name: str) -> Any:
        self.current_phase = name
        try:
            yield
        except Exception as error:  # of any class: the comparison judges it
            self.outcome.errors[name] = error


def weights(seed: int, position: int, shape: Sequence[int]) -> np.ndarray:
    """Return incoming gradients of size 0.5 to 1.5, exact in float16: in a plain sum, faults could cancel."""
    rng = np.random.default_rng([seed, position])
    return np.asarray((0.5 + rng.integers(0, 64, tuple(shape)) / 64) * rng.choice([-1.0, 1.0], tuple(shape)))
