"""Containers: modules that hold other modules under the names "0", "1", …, as PyTorch's do."""

from collections.abc import Iterator, Sequence

from ..autograd import Tensor
from ..errors import ArgumentError
from .conv import Conv2d
from .conv_norm import conv_norm
from .module import Module


class ModuleList(Module):
    """Hold modules in a list that can be indexed, iterated over and appended to.

    Raises:
        ArgumentError: something in it is not a Module.
    """

    def __init__(self, modules: Sequence[Module] = ()) -> None:
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> None:
        """Add a module at the end. Raises ArgumentError if it is not a Module."""
        if not isinstance(module, Module):
            kind = f"the class {module.__name__}" if isinstance(module, type) else f"a {type(module).__name__}"
            raise ArgumentError(f"{type(self).__name__}: argument {len(self) + 1} is {kind}, expected a Module")
        setattr(self, str(len(self)), module)

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]


class Sequential(ModuleList):
    """Apply modules one after the other; each takes and returns one Tensor.

    Raises:
        ArgumentError: an argument is not a Module, such as a function, a list or a dict.
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def forward(self, x: Tensor) -> Tensor:
        modules = list(self)
        while modules:
            module = modules.pop(0)
            x = conv_norm(module, modules.pop(0), x) if isinstance(module, Conv2d) and modules else module(x)
        return x
