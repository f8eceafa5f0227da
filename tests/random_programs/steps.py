"""A random program: a list of steps, each a small dataclass that both libraries can run and that prints as Python.

    Leaf     v0 = Tensor(array)                    Write    v1 += value, v1[index] = value
    Call     v1, v2 = operation(v0, setting=…)     Hook     v1.register_hook(…)       Retain    v1.retain_grad()

A program ends with its derivatives: `backward` of a weighted sum of the outputs, then first gradients under
create_graph, then second gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

LAYOUTS = {
    "contiguous": "{}",
    "transposed": "np.array({}.T, order='C').T",
    "strided": "np.repeat({}, 2, axis=-1)[..., ::2]",
    "backwards": "np.flip(np.flip({}).copy())",
}


@dataclass(frozen=True)
class Ref:
    """The use of an earlier value by its name."""

    name: str


@dataclass(frozen=True)
class Leaf:
    """A Tensor made from an array: in `layout`, one of LAYOUTS."""

    name: str
    array: np.ndarray
    layout: str = "contiguous"
    requires_grad: bool = False

    names = property(lambda self: (self.name,))
    refs = ()

    def laid_out(self) -> np.ndarray:
        """Return a copy of the array with the strides of the layout."""
        copy = self.array.copy()
        return copy if copy.ndim == 0 else eval(LAYOUTS[self.layout].format("copy"), {"np": np, "copy": copy})

    def source(self) -> str:
        array = literal(self.array)
        laid_out = LAYOUTS[self.layout].format(array) if self.array.ndim else array
        return f"{self.name} = ms.Tensor({laid_out}, requires_grad={self.requires_grad})"


@dataclass(frozen=True)
class Call:
    """An operation.

    names: of its results.
    inputs: Refs, arrays and numbers.
    settings: further arguments by name.
    form: "function", or "operator" for the operator of Python.
    no_grad: whether it runs inside `no_grad()`.
    is_wild: its arguments were changed at random, so that they often do not fit.
    """

    names: tuple[str, ...]
    operation: str
    inputs: tuple[Any, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    form: str = "function"
    no_grad: bool = False
    is_wild: bool = False

    @property
    def refs(self) -> tuple[str, ...]:
        return tuple(names_in((self.inputs, self.settings)))

    def source(self) -> str:
        arguments = [literal(x) for x in self.inputs] + [f"{k}={literal(v)}" for k, v in self.settings.items()]
        function = "FUNCTIONS" if self.form == "function" else "OPERATORS"
        call = f"{function}[{self.operation!r}]({', '.join(arguments)})"
        results = f"{', '.join(self.names)} = {call}"
        return f"with ms.no_grad(): {results}" if self.no_grad else results


@dataclass(frozen=True)
class Write:
    """A write in place: `target[index] = value` for the symbol "=", otherwise `target += value` and its like."""

    target: str
    symbol: str
    value: Any
    index: Any = None
    no_grad: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return ()

    @property
    def refs(self) -> tuple[str, ...]:
        return (self.target, *names_in((self.value, self.index)))

    def source(self) -> str:
        place = f"{self.target}[{literal(self.index)}]" if self.symbol == "=" else self.target
        statement = f"{place} {self.symbol} {literal(self.value)}"
        return f"with ms.no_grad(): {statement}" if self.no_grad else statement


@dataclass(frozen=True)
class Hook:
    """A hook that notes the gradient and returns it times `factor`; None returns nothing."""

    target: str
    factor: float | None

    names = ()
    refs = property(lambda self: (self.target,))

    def source(self) -> str:
        returned = None if self.factor is None else f"g * {self.factor}"
        return f"{self.target}.register_hook(lambda g: [print('hook on {self.target}', g), {returned}][-1])"


@dataclass(frozen=True)
class Retain:
    """A call of `retain_grad`."""

    target: str

    names = ()
    refs = property(lambda self: (self.target,))

    def source(self) -> str:
        return f"{self.target}.retain_grad()"


Step: TypeAlias = Leaf | Call | Write | Hook | Retain


@dataclass(frozen=True)
class Program:
    """Steps, the values to differentiate, and inner values to differentiate with respect to, beside the leaves.

    seed: draws the incoming gradients.
    style: "smooth" for distinct values away from kinks, "special" for zeros, ties, infinities and NaN.
    """

    steps: tuple[Step, ...]
    outputs: tuple[str, ...]
    inner: tuple[str, ...]
    seed: int
    style: str

    def without(self, index: int) -> Program:
        """Return the program without a step and without all that uses its results."""
        dropped = set(self.steps[index].names)
        kept: list[Step] = []
        for i, step in enumerate(self.steps):
            if i == index or dropped & set(step.refs):
                dropped |= set(step.names)
            else:
                kept.append(step)
        outputs, inner = (tuple(n for n in names if n not in dropped) for names in (self.outputs, self.inner))
        return replace(self, steps=tuple(kept), outputs=outputs, inner=inner)

    @property
    def operations(self) -> tuple[str, ...]:
        """The names of the operations, in order."""
        return tuple(step.operation for step in self.steps if isinstance(step, Call))

    def script(self) -> str:
        """Return a Python script that runs the program on minisk; its folder's modules must be importable."""
        lines = ["import numpy as np", "import minisk as ms", "from numpy import inf, nan"]
        lines += ["from minisk_interpreter import FUNCTIONS, OPERATORS, differentiate", ""]
        lines += [step.source() for step in self.steps]
        sources = [step.name for step in self.steps if isinstance(step, Leaf) and step.requires_grad]
        lines.append(
            f"differentiate({{k: v for k, v in globals().items() if isinstance(v, ms.Tensor)}}, "
            f"outputs={self.outputs}, sources={(*sources, *self.inner)}, seed={self.seed})"
        )
        return "\n".join(lines)


def names_in(value: Any) -> Iterator[str]:
    """Yield the names of the Refs inside nested tuples, lists and dictionaries."""
    if isinstance(value, Ref):
        yield value.name
    elif isinstance(value, tuple | list):
        for part in value:
            yield from names_in(part)
    elif isinstance(value, dict):
        yield from names_in(tuple(value.values()))


def substitute(value: Any, environment: dict[str, Any]) -> Any:
    """Return the nested value with each Ref replaced by what the environment holds under its name."""
    if isinstance(value, Ref):
        return environment[value.name]
    if isinstance(value, tuple | list):
        return type(value)(substitute(part, environment) for part in value)
    if isinstance(value, dict):
        return {key: substitute(part, environment) for key, part in value.items()}
    return value


def literal(value: Any) -> str:
    """Return Python source of a value."""
    if isinstance(value, Ref):
        return value.name
    if isinstance(value, np.ndarray):
        return f"np.array({value.tolist()!r}, dtype={str(value.dtype)!r}).reshape({value.shape})"
    if isinstance(value, np.generic):
        return f"np.{value.dtype}({value.item()!r})"
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return repr(value)
