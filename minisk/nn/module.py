"""Module: a piece of a network that owns parameters, buffers and other modules.

No registration and no magic: whatever is assigned as an attribute is found by its type, in the order of assignment.
    Parameter  trained by an optimizer       Buffer  part of the state, not trained (running statistics)
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..autograd.tensor import Tensor
from ..backend import Array, to_device
from ..errors import CheckpointError, DtypeError

ForwardHook = Callable[["Module", Any], None]


class Parameter(Tensor):
    """A Tensor that a Module owns and an optimizer trains."""

    __slots__ = ()

    def __init__(self, data: Array, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad)


class Buffer(Tensor):
    """A Tensor that belongs to a Module's state but is not trained."""

    __slots__ = ()


class Module:
    """Subclass it, assign Parameters, Buffers and Modules in `__init__`, and define `forward`.

    training: whether batch norm takes the batch's statistics and dropout drops; set by `train()` and `eval()`.
    """

    training = True

    def forward(self, *inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def __call__(self, *inputs: Any) -> Any:
        out = self.forward(*inputs)
        for hook in tuple(self.__dict__.get("forward_hooks", ())):
            hook(self, out)
        return out

    def register_forward_hook(self, hook: ForwardHook) -> Callable[[], None]:
        """Call hook(module, output) after each forward. Returns a function that removes the hook."""
        hooks: list[ForwardHook] = self.__dict__.setdefault("forward_hooks", [])
        hooks.append(hook)
        return lambda: hooks.remove(hook)

    # What it owns, depth first in the order of assignment

    def children(self) -> Iterator[tuple[str, Module]]:
        """Yield the modules assigned to this one, with their names."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield this module (under the prefix) and all below it, each under its dotted name."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it."""
        return (module for _, module in self.named_modules())

    def _named_tensors(self, kind: type[Tensor]) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()  # a parameter shared by two modules is one parameter
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, kind) and id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{prefix}.{name}" if prefix else name), value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        return self._named_tensors(Parameter)

    def parameters(self) -> Iterator[Parameter]:
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        return self._named_tensors(Buffer)

    def buffers(self) -> Iterator[Buffer]:
        return (buffer for _, buffer in self.named_buffers())

    # What it remembers

    def state_dict(self) -> dict[str, Tensor]:
        """Return parameters and buffers by name, sharing memory with the module."""
        return {name: value.detach() for name, value in [*self.named_parameters(), *self.named_buffers()]}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> tuple[list[str], list[str]]:
        """Copy values (Tensors or arrays) into parameters and buffers; all fit, or none is copied.

        Returns the names that state lacks and those it has in excess; if strict, either is a CheckpointError, as is
        a value of another shape.
        """
        own = dict([*self.named_parameters(), *self.named_buffers()])
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in own]
        values = {name: value.data if isinstance(value, Tensor) else value for name, value in state.items()}
        shared = [(name, tensor, values[name]) for name, tensor in own.items() if name in state]
        shapes = [f"{n} {tuple(v.shape)} instead of {t.shape}" for n, t, v in shared if tuple(v.shape) != t.shape]
        dtypes = [f"{name} {value.dtype}" for name, _, value in shared if value.dtype.kind not in "fiub"]
        problems = [("wrong shape", shapes), ("not numbers", dtypes)]
        if strict:
            problems += [("missing", missing), ("unexpected", unexpected)]
        # Of each problem the first three names; the ellipsis stays only if there are more.
        listed = [(what, len(names), ", ".join([*names[:3], "…"][: len(names)])) for what, names in problems if names]
        told = "; ".join(f"{count} {what}: {first}" for what, count, first in listed)
        if told:
            raise CheckpointError(f"load_state_dict: the state is not this {type(self).__name__}'s: {told}")
        for _, tensor, value in shared:
            tensor.data[...] = to_device(value, tensor.device)
            tensor.mark_written()
        return missing, unexpected

    def zero_grad(self) -> None:
        """Forget the gradient of every parameter."""
        for parameter in self.parameters():
            parameter.grad = None

    # How it runs

    def train(self, mode: bool = True) -> Module:
        """Switch this module and all below it to training mode (or, with False, to evaluation). Returns self."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Switch to evaluation mode: running statistics, no dropout. Returns self."""
        return self.train(False)

    def to(self, device: str | None = None, dtype: DTypeLike | None = None) -> Module:
        """Move every parameter and buffer, in place, to a device or floating dtype; gradients are forgotten.

        Returns self. Raises DeviceError, DtypeError.
        """
        if dtype is not None and np.dtype(dtype).kind != "f":
            raise DtypeError(f"{type(self).__name__}.to: parameters need a floating dtype, not {np.dtype(dtype)}")
        for tensor in [*self.parameters(), *self.buffers()]:
            tensor.data = tensor.detach().to(device, dtype).data
            tensor.grad = None
            tensor.mark_written()
        return self

    def extra_repr(self) -> str:
        """What to show between the parentheses of this module's own line: its settings and its parameters' shapes."""
        own = {name: x.shape if isinstance(x, Parameter) else x for name, x in vars(self).items() if name != "training"}
        return ", ".join(f"{name}={x}" for name, x in own.items() if x is None or isinstance(x, int | float | tuple))

    def __repr__(self) -> str:
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.children()]
        if not lines:
            return f"{type(self).__name__}({self.extra_repr()})"
        return "\n  ".join([f"{type(self).__name__}({self.extra_repr()}", *lines]) + "\n)"


@contextlib.contextmanager
def in_modes(module: Module, modes: Sequence[bool]) -> Iterator[None]:
    """Put each part of a module, in the order of `modules()`, in a mode for a while (True: training)."""
    before = [(part, part.training) for part in module.modules()]
    try:
        for (part, _), mode in zip(before, modes, strict=True):
            part.training = mode
        yield
    finally:
        for part, mode in before:
            part.training = mode


def evaluation_mode(module: Module) -> contextlib.AbstractContextManager[None]:
    """Put a module in evaluation mode for a while; afterwards each part is in the mode it was in before."""
    return in_modes(module, [False for _ in module.modules()])


class ModuleList(Module):
    """Modules in a row, to be indexed and looped over."""

    def __init__(self, modules: Sequence[Module] = ()) -> None:
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> None:
        setattr(self, str(len(self)), module)

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[Module]:
        return (module for _, module in self.children())

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]


class Sequential(ModuleList):
    """Modules applied one after the other."""

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def forward(self, x: Tensor) -> Tensor:
        for module in self:
            x = module(x)
        return x
