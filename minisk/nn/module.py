"""Module: a part of a network that owns parameters, buffers and other modules.

Nothing has to be registered: `Module` finds whatever is assigned as an attribute by its type, in the order of
assignment.

    Parameter   trained by an optimizer
    Buffer      part of the state, not trained (running statistics)
    Module      a child, with parameters, buffers and children of its own
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import DTypeLike

from ..autograd import Tensor
from ..backend import Array, to_device
from ..creation import tensor
from ..errors import CheckpointError, DtypeError

ForwardPreHook = Callable[["Module", tuple[Any, ...]], None]
ForwardHook = Callable[["Module", tuple[Any, ...], Any], None]


class Parameter(Tensor):
    """A Tensor that a Module owns and an optimizer trains. The data is converted and copied as by `ms.tensor`."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(tensor(data).data, requires_grad)


class Buffer(Tensor):
    """A Tensor that belongs to a Module's state and is not trained. The data is copied as by `ms.tensor`."""

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        super().__init__(tensor(data).data)


class Module:
    """Base class of layers and networks: assign Parameters, Buffers and Modules in `__init__`, define `forward`.

    training: whether batch norm uses the batch's statistics and dropout is active; set by `train()` and `eval()`.
    own_step: what a module with children computes itself, beside them, such as "select"; shown by the summary.
    """

    training = True
    own_step = ""

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        """Return the module's output; called by `module(*inputs, **keywords)`, which also calls the hooks."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def macs(self, output: Tensor) -> int:
        """Return the multiply-adds that this module itself, without its children, spent on an output.

        Zero by default: elementwise operations, pooling and batch norm are not counted, as is usual in papers.

        Args:
            output: what `forward` returned; its shape, batch included, determines the count.
        """
        return 0

    # Calling, and hooks

    def __call__(self, *inputs: Any, **keywords: Any) -> Any:
        for before in tuple(vars(self).get("forward_pre_hooks", ())):
            before(self, inputs)
        output, is_returned = None, False
        try:
            output = self.forward(*inputs, **keywords)
            is_returned = True
        finally:
            for after, always_call in tuple(vars(self).get("forward_hooks", ())):
                if is_returned or always_call:
                    after(self, inputs, output)
        return output

    def has_hooks(self) -> bool:
        """Return whether hooks are registered with this module itself."""
        return bool(vars(self).get("forward_pre_hooks") or vars(self).get("forward_hooks"))

    def register_forward_pre_hook(self, hook: ForwardPreHook) -> Callable[[], None]:
        """Call hook(module, inputs) before each forward; what it returns is ignored.

        Returns:
            A function that removes the hook.
        """
        hooks: list[ForwardPreHook] = vars(self).setdefault("forward_pre_hooks", [])
        hooks.append(hook)
        return lambda: hooks.remove(hook)

    def register_forward_hook(self, hook: ForwardHook, always_call: bool = False) -> Callable[[], None]:
        """Call hook(module, inputs, output) after each forward; what it returns is ignored.

        Args:
            hook: the function to call.
            always_call: also call it, with output None, when forward raises.

        Returns:
            A function that removes the hook.
        """
        hooks: list[tuple[ForwardHook, bool]] = vars(self).setdefault("forward_hooks", [])
        entry = hook, always_call
        hooks.append(entry)
        return lambda: hooks.remove(entry)

    # Children, parameters and buffers: depth first, in the order of assignment

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the modules assigned to this one, with their names."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def children(self) -> Iterator[Module]:
        """Yield the modules assigned to this one."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield this module, named `prefix`, and all modules below it, with dotted names."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all modules below it."""
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield all parameters with dotted names; a parameter shared by several modules has the first name only."""
        return self._named_tensors(Parameter)

    def parameters(self) -> Iterator[Parameter]:
        """Yield all parameters, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Yield all buffers with dotted names, each once."""
        return self._named_tensors(Buffer)

    def buffers(self) -> Iterator[Buffer]:
        """Yield all buffers, each once."""
        return (buffer for _, buffer in self.named_buffers())

    def _named_tensors(self, kind: type[Tensor]) -> Iterator[tuple[str, Any]]:
        found: dict[int, tuple[str, Any]] = {}
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, kind):
                    found.setdefault(id(value), (f"{prefix}.{name}" if prefix else name, value))
        return iter(found.values())

    # State

    def state_dict(self) -> dict[str, Tensor]:
        """Return parameters and buffers by name; the Tensors share memory with the module."""
        return {name: value.detach() for name, value in [*self.named_parameters(), *self.named_buffers()]}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> tuple[list[str], list[str]]:
        """Copy values into parameters and buffers; if one does not fit, none is copied.

        Args:
            state: Tensors or arrays by name, in the shapes of this module's own; dtype and device may differ.
            strict: missing and unexpected names are errors too.

        Returns:
            The names that the state lacks, and the names that this module lacks.

        Raises:
            CheckpointError: a shape differs, a value is not numeric, or (if strict) the names differ.
        """
        if not isinstance(state, Mapping):
            raise CheckpointError(f"load_state_dict: expected a dict of arrays, got a {type(state).__name__}")
        own = dict([*self.named_parameters(), *self.named_buffers()])
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in own]
        arrays = {name: _array(value) for name, value in state.items()}
        shared = [(name, values, arrays[name]) for name, values in own.items() if name in state]
        wrong_shapes = [f"{n} {tuple(a.shape)} instead of {t.shape}" for n, t, a in shared if tuple(a.shape) != t.shape]
        not_numbers = [f"{name} {array.dtype}" for name, _, array in shared if array.dtype.kind not in "fiub"]
        problems = {"wrong shape": wrong_shapes, "not numbers": not_numbers}
        if strict:
            problems |= {"missing": missing, "unexpected": unexpected}
        listed = "; ".join(f"{len(names)} {kind}: {_first_three(names)}" for kind, names in problems.items() if names)
        if listed:
            raise CheckpointError(f"load_state_dict: the state does not fit this {type(self).__name__}: {listed}")
        for _, values, array in shared:
            values.data[...] = to_device(array, values.device)
            values.mark_written()
        return missing, unexpected

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for parameter in self.parameters():
            parameter.grad = None

    # Mode, device and dtype

    def train(self, mode: bool = True) -> Module:
        """Set training mode (or evaluation mode, if False) for this module and all below it, and return self."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Set evaluation mode (running statistics, no dropout), and return self."""
        return self.train(False)

    def to(self, device: str | None = None, dtype: DTypeLike | None = None) -> Module:
        """Move every parameter and buffer, in place, to a device or floating dtype, and return self.

        Gradients are set to None.

        Raises:
            DeviceError: there is no such device.
            DtypeError: the dtype is not floating.
        """
        for own in [*self.parameters(), *self.buffers()]:
            moved = own.detach().to(device, dtype)
            if dtype is not None and moved.dtype.kind != "f":
                raise DtypeError(f"{type(self).__name__}.to: parameters need a floating dtype, not {moved.dtype}")
            own.data = moved.data
            own.grad = None
            own.mark_written()
        return self

    # Representation

    def extra_repr(self) -> str:
        """Return what `repr` shows in parentheses: the settings, and the parameters' shapes."""
        values = {name: v.shape if isinstance(v, Parameter) else v for name, v in vars(self).items()}
        values.pop("training", None)
        return ", ".join(f"{name}={v}" for name, v in values.items() if v is None or isinstance(v, int | float | tuple))

    def __repr__(self) -> str:
        own, head = self.extra_repr(), f"{type(self).__name__}("
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        return "\n  ".join([head, *filter(None, [own]), *lines]) + "\n)" if lines else f"{head}{own})"

    def _repr_html_(self) -> str:
        from ..notebook import module_html

        return module_html(self)


def _array(value: Any) -> Array:
    array = value.data if isinstance(value, Tensor) else value
    return array if hasattr(array, "dtype") else tensor(array).data


def _first_three(names: list[str]) -> str:
    return ", ".join(names if len(names) <= 3 else [*names[:3], "…"])


@contextlib.contextmanager
def in_modes(module: Module, modes: Sequence[bool]) -> Iterator[None]:
    """Set the mode of each module in `module.modules()` inside the block, and restore the modes afterwards.

    Args:
        module: the module at the top.
        modes: for each module, in the order of `modules()`, whether it is in training mode.
    """
    before = [(part, part.training) for part in module.modules()]
    try:
        for (part, _), mode in zip(before, modes, strict=True):
            part.training = mode
        yield
    finally:
        for part, mode in before:
            part.training = mode


def evaluation_mode(module: Module) -> contextlib.AbstractContextManager[None]:
    """Set evaluation mode inside the block; afterwards each module is in the mode that it was in before."""
    return in_modes(module, [False for _ in module.modules()])
