"""Draws random programs. The reference runs each step as it is drawn, so that the generator knows shapes and values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from steps import Call, Hook, Leaf, Program, Ref, Retain, Step, Write
from torch_interpreter import ConventionError, TorchInterpreter

SIZES, SIZE_SHARES = np.arange(8), np.array([0.04, 0.2, 0.22, 0.2, 0.12, 0.1, 0.06, 0.06])
MOST_ELEMENTS = 700
# The least relative distance from a kink: many times the rounding error that a program accumulates.
CLEAR = {"float64": 1e-6, "float32": 1e-3, "float16": 3e-2}
SPECIAL = [
    [0.0, 1.0, -1.0, 2.0],
    [0.0, -0.0, 0.5, 1.0, 1.0],
    [0.0, 1.0, -2.0, np.inf, -np.inf],
    [0.0, 1.0, 2.0, np.inf],
    [1.0, -1.0, 0.5, 2.0, np.nan],
]
Axes = int | tuple[int, ...] | None


class Unfit(Exception):
    """The values at hand do not suit the operation that was drawn."""


class Builder:
    """A program under construction, and the reference that runs along.

    random: the source of all choices.
    dtype: the floating dtype of new leaves.
    style: as in Program.
    """

    def __init__(self, random: np.random.Generator, dtype: str, style: str) -> None:
        self.random, self.dtype, self.style = random, dtype, style
        self.steps: list[Step] = []
        self.reference = TorchInterpreter()
        self.frozen: set[int] = set()  # memory whose sharing between views may differ: no writes
        self.count = 0

    # Choices

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def choose(self, options: Any) -> Any:
        return options[int(self.random.integers(len(options)))]

    def shape(self, least: int = 0, most: int = 4) -> tuple[int, ...]:
        while True:
            sizes = self.random.choice(SIZES, int(self.random.integers(least, most + 1)), p=SIZE_SHARES)
            if np.prod(sizes) <= MOST_ELEMENTS:
                return tuple(int(n) for n in sizes)

    def new_name(self) -> str:
        self.count += 1
        return f"v{self.count - 1}"

    def value(self, ref: Ref) -> Any:
        return self.reference.environment[ref.name]

    def array(self, ref: Any) -> np.ndarray:
        return self.reference.array(self.value(ref)) if isinstance(ref, Ref) else np.asarray(ref)

    def existing(self, fits: Callable[[Any], bool] = lambda v: True, kinds: str = "f") -> Ref | None:
        """Return one of the values of these kinds of dtype that fit; recent values are likelier."""
        names = [
            name
            for name, v in self.reference.environment.items()
            if np.dtype(self.reference.dtype(v)).kind in kinds and fits(v)
        ]
        if not names:
            return None
        shares = np.arange(1.0, len(names) + 1)
        return Ref(str(self.random.choice(names, p=shares / shares.sum())))

    # Leaves

    def leaf(
        self, shape: tuple[int, ...], dtype: str | None = None, is_positive: bool = False, is_special: bool = True
    ) -> Ref:
        """Add a leaf with random values and layout; with is_special False, never with special values."""
        dtype = dtype or self.dtype
        kind = np.dtype(dtype).kind
        array = self.floats(shape, is_positive, is_special) if kind == "f" else self.random.integers(0, 5, shape)
        if kind == "i":
            array = array - 2
        layout = self.choose(["contiguous", "contiguous", "transposed", "strided", "backwards"])
        requires_grad = kind == "f" and self.chance(0.85)
        ref = Ref(self.new_name())
        self.run(Leaf(ref.name, np.asarray(array).astype(dtype), layout, requires_grad))
        if layout != "contiguous":
            self.frozen.add(self.memory(ref))
        return ref

    def floats(self, shape: tuple[int, ...], is_positive: bool, is_special: bool = True) -> np.ndarray:
        if self.style == "special" and is_special and self.chance(0.8):
            drawn = self.random.choice(self.choose(SPECIAL), shape)
            return np.abs(drawn) if is_positive else drawn
        count = max(int(np.prod(shape)), 1)
        places = (self.random.permutation(count) + 0.2 + 0.6 * self.random.random(count)) / count
        values = (5 * places - 2.5)[: int(np.prod(shape))].reshape(shape)
        return 0.4 + 0.5 * (values + 2.5) if is_positive or self.chance(0.3) else values

    def floating(self, least: int = 0, most: int = 4, fits: Callable[[Any], bool] = lambda v: True) -> Ref:
        """Return a floating value with a fitting number of axes: an existing one, or a new leaf."""
        found = self.existing(lambda v: least <= v.ndim <= most and fits(v)) if self.chance(0.85) else None
        if found is not None:
            return found
        for _ in range(20):
            shape = self.shape(least, most)
            if fits(_Shaped(shape)):
                return self.leaf(shape)
        raise Unfit

    def like(self, shape: tuple[int, ...], is_positive: bool = False) -> Ref:
        """Return a floating value of exactly this shape."""
        found = self.existing(lambda v: tuple(v.shape) == tuple(shape)) if self.chance(0.5) else None
        return found or self.leaf(tuple(shape), is_positive=is_positive)

    def images(self) -> Ref:
        return self.floating(4, 4, lambda v: v.numel() > 0 and v.numel() <= MOST_ELEMENTS)

    def partner(self, x: Ref, is_positive: bool = False) -> Any:
        """Return an operand whose shape broadcasts with that of x: a Tensor, a number, an array, a nested list."""
        shape = tuple(self.value(x).shape)
        kind = self.random.random()
        if kind < 0.15:
            return self.choose([2, 0.5, -1.5, 3, np.float64(0.25), 1])
        smaller = list(shape[int(self.random.integers(len(shape) + 1)) :] if self.chance(0.4) else shape)
        smaller = tuple(1 if self.chance(0.2) else n for n in smaller)
        if kind < 0.25:
            array = np.abs(self.floats(smaller, True)) if is_positive else self.floats(smaller, False)
            return array if self.chance(0.7) else array.tolist()
        if kind < 0.6:
            found = self.existing(lambda v: _broadcasts(tuple(v.shape), shape), kinds="fffffi")
            if found is not None:
                return found
        if len(smaller) == len(shape) < 4 and self.chance(0.2):
            smaller = (int(self.random.integers(1, 4)), *smaller)
        return self.leaf(smaller, is_positive=is_positive)

    # Steps

    def memory(self, ref: Ref) -> int:
        return int(self.value(ref).untyped_storage().data_ptr())

    def run(self, step: Step) -> None:
        """Run a step on the reference, and keep it. Raises Unfit if it fails or leaves the range, unless it is wild."""
        before = dict(self.reference.environment), self.reference.kink_distance
        self.reference.kink_distance = np.inf
        memory = self.value(Ref(step.target)).data if isinstance(step, Write) else None
        contents = None if memory is None else memory.clone()
        self.reference.step(len(self.steps), step)
        error = self.reference.outcome.errors.pop(len(self.steps), None)
        is_wild = isinstance(step, Call) and step.is_wild
        is_allowed = error is None or is_wild or isinstance(error, ConventionError)
        is_fit = is_allowed and all(self.is_fit(name) for name in self.changed(step) if error is None)
        if not is_fit or (self.style == "smooth" and error is None and self.reference.kink_distance < self.clear()):
            self.reference.environment, self.reference.kink_distance = before
            if memory is not None:
                memory.copy_(contents)
            raise Unfit
        self.steps.append(step)

    def changed(self, step: Step) -> tuple[str, ...]:
        return (step.target,) if isinstance(step, Write) else step.names

    def clear(self) -> float:
        eps = self.reference.eps
        return CLEAR["float16" if eps > 1e-4 else "float32" if eps > 1e-8 else "float64"]

    def is_fit(self, name: str) -> bool:
        array = self.reference.array(self.reference.environment[name])
        if array.size > 4 * MOST_ELEMENTS or array.ndim > 6:
            return False
        if array.dtype.kind != "f":
            return bool((np.abs(array.astype(float)) < 100).all())
        most = 30 if self.dtype == "float16" else 300
        if self.style == "special":
            return not array.size or bool((np.abs(array[np.isfinite(array)]) < 1e3).all())
        return bool(np.isfinite(array).all() and (np.abs(array) <= most).all())

    def call(self, operation: str, *inputs: Any, results: int = 1, form: str = "function", **settings: Any) -> None:
        names = tuple(self.new_name() for _ in range(results))
        self.run(Call(names, operation, inputs, settings, form, no_grad=self.chance(0.04)))

    def write(self) -> None:
        """Add a write in place, with or without a graph."""
        target = self.existing(lambda v: int(v.untyped_storage().data_ptr()) not in self.frozen, kinds="ffffi")
        if target is None:
            raise Unfit
        x = self.value(target)
        symbol = self.choose(["=", "+=", "-=", "*=", "/="])
        is_integer = not x.is_floating_point()
        no_grad = self.chance(0.7)
        if symbol == "=":
            index = self.choose([..., slice(None, None, -1), slice(1, None)]) if x.ndim else ...
            place = self.array(target)[index]
            value = self.random.integers(0, 3, place.shape) if is_integer else self.floats(place.shape, False)
            given: Any = (
                self.choose([value, 2, value.astype(self.dtype)]) if not is_integer else self.choose([value, 2])
            )
            if not is_integer and self.chance(0.4):
                found = self.existing(lambda v: _broadcasts(tuple(v.shape), place.shape, to_second=True))
                given = found or given
            self.run(Write(target.name, symbol, given, index, no_grad))
            return
        value = 2 if is_integer else self.partner(target, is_positive=symbol == "/=")
        self.run(Write(target.name, "+=" if is_integer else symbol, value, None, no_grad))

    def observe(self) -> None:
        """Add a hook or retain_grad."""
        target = self.existing(lambda v: v.requires_grad)
        if target is None:
            raise Unfit
        if self.chance(0.35):
            self.run(Retain(target.name))
        else:
            self.run(Hook(target.name, self.choose([None, 2.0, -0.5])))

    def wild(self) -> None:
        """Change an argument of the last call at random, so that it does not fit, and run that instead."""
        calls = [s for s in self.steps if isinstance(s, Call) and s.operation not in ("dropout", "detach", "split")]
        if not calls:
            raise Unfit
        step = self.choose(calls)
        inputs, settings = list(step.inputs), dict(step.settings)
        numbers = [k for k, v in settings.items() if isinstance(v, int) and not isinstance(v, bool)]
        if numbers and self.chance(0.5):
            settings[self.choose(numbers)] = int(self.random.integers(-6, 8))
        else:
            position = int(self.random.integers(len(inputs)))
            other = self.existing(kinds="ffib")
            if other is None or not isinstance(inputs[position], Ref):
                raise Unfit
            inputs[position] = other
        names = tuple(self.new_name() for _ in step.names)
        self.run(replace(step, names=names, inputs=tuple(inputs), settings=settings, is_wild=True))


class _Shaped:
    """A shape, for the tests of `fits`."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.ndim = shape, len(shape)

    def numel(self) -> int:
        return int(np.prod(self.shape))


def _broadcasts(a: tuple[int, ...], b: tuple[int, ...], to_second: bool = False) -> bool:
    try:
        together = np.broadcast_shapes(a, b)
    except ValueError:
        return False
    return together == tuple(b) if to_second else len(together) <= 5 and int(np.prod(together)) <= MOST_ELEMENTS


def draw_program(seed: int) -> Program:
    """Return the program of this seed."""
    from drawers import DRAWERS

    random = np.random.default_rng([seed, 15])
    style = "special" if random.random() < 0.25 else "smooth"
    dtype = str(random.choice(["float64", "float32", "float16"], p=[0.5, 0.35, 0.15]))
    builder = Builder(random, dtype, style)
    names = list(DRAWERS)
    builder.leaf(builder.shape())
    if builder.chance(0.3):
        builder.leaf(builder.shape(), str(random.choice(["int64", "int32", "uint8", "bool"])))
    length = int(random.integers(1, 5 if style == "special" else 11))
    writes = builder.chance(0.35)
    attempts = 0
    while sum(not isinstance(step, Leaf) for step in builder.steps) < length and attempts < 60:
        attempts += 1
        kind = builder.random.random()
        try:
            if kind < 0.1:
                builder.observe()
            elif kind < 0.25 and writes:
                builder.write()
            elif kind < 0.3:
                builder.wild()
            else:
                DRAWERS[builder.choose(names)](builder)
        except Unfit:
            pass
    return finished(builder, seed, style)


def is_clear_source(builder: Builder, name: str) -> bool:
    """Return whether the gradient with respect to an inner value is the same by every correct formula.

    The branch sum of select may depend on the weights or not. PyTorch applies a hook on an inner source only if no
    other source lies below it. In a program that writes, the reference clones results, and an inner value may not be
    the one that backward uses.
    """
    if any(isinstance(step, Write) for step in builder.steps):
        return False
    value = builder.reference.environment[name]
    for step in builder.steps:
        if isinstance(step, Call) and step.operation == "select" and name == step.names[-1]:
            return False
        if isinstance(step, Hook) and step.factor is not None and builder.value(Ref(step.target)) is value:
            return False
    return True


def finished(builder: Builder, seed: int, style: str) -> Program:
    """Return the program with its outputs: the last values that require gradients, and some others."""
    environment = builder.reference.environment
    tracked = [name for name, value in environment.items() if value.requires_grad and not value.is_leaf]
    outputs = [name for i, name in enumerate(tracked) if i >= len(tracked) - 2 or builder.chance(0.2)]
    inner = [name for name in tracked if builder.chance(0.15) and is_clear_source(builder, name)]
    return Program(tuple(builder.steps), tuple(outputs), tuple(inner), seed, style)
