"""Containers: modules that hold other modules under the names "0", "1", …, as PyTorch's do."""

from collections.abc import Iterator, Sequence

from ..autograd import Tensor
from .module import Module


class ModuleList(Module):
    """Hold modules in a list that can be indexed, iterated over and appended to."""

    def __init__(self, modules: Sequence[Module] = ()) -> None:
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> None:
        """Add a module at the end."""
        setattr(self, str(len(self)), module)

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]


class Sequential(ModuleList):
    """Apply modules one after the other; each takes and returns one Tensor."""

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def forward(self, x: Tensor) -> Tensor:
        for module in self:
            x = module(x)
        return x
