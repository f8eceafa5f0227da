"""What a model is made of: layers, output shapes, parameters and multiply-adds."""

import math
from typing import Any, NamedTuple

import numpy as np

from .function import no_grad
from .nn import Conv2d, Linear, Module, SKConv
from .nn.module import evaluation_mode
from .tensor import Tensor


class Row(NamedTuple):
    """One layer: multiply-adds per image of its product, and of the select step of a selective kernel."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int
    select_macs: int


class Summary(NamedTuple):
    """All layers in order of execution, and totals; str() is a table."""

    rows: list[Row]
    parameters: int
    buffers: int

    @property
    def macs(self) -> int:
        """Multiply-adds per image of convolutions and fully connected layers."""
        return sum(row.macs for row in self.rows)

    @property
    def select_macs(self) -> int:
        """One more for each element of each branch that a selective kernel weighs."""
        return sum(row.select_macs for row in self.rows)

    def __str__(self) -> str:
        lines = [f"{'layer':<36} {'kind':<16} {'output':<20} {'parameters':>12} {'multiply-adds':>16}"]
        for row in self.rows:
            shape = "×".join(map(str, row.shape))
            lines.append(
                f"{row.name:<36} {row.kind:<16} {shape:<20} {row.parameters:>12,} {row.macs + row.select_macs:>16,}"
            )
        lines += [
            "",
            f"parameters     {self.parameters:,} (with running statistics {self.parameters + self.buffers:,})",
            f"multiply-adds  {self.macs:,} in convolutions and linear layers, "
            f"{self.macs + self.select_macs:,} with the select steps",
        ]
        return "\n".join(lines)


def summarize(model: Module, input_shape: tuple[int, int, int]) -> Summary:
    """Run one blank image (C, H, W) through the model and note what each layer made of it."""
    rows: list[Row] = []
    removers = []
    for name, module in model.named_modules():
        if isinstance(module, SKConv) or not any(True for _ in module.children()):
            removers.append(module.register_forward_hook(_noting(rows, name)))
    try:
        with no_grad(), evaluation_mode(model):
            model(Tensor(np.zeros((1, *input_shape), next(model.parameters()).dtype)))
    finally:
        for remove in removers:
            remove()
    return Summary(rows, sum(p.size for p in model.parameters()), sum(b.size for b in model.buffers()))


def _noting(rows: list[Row], name: str) -> Any:
    def hook(module: Module, out: Tensor) -> None:
        own = sum(value.size for value in vars(module).values() if isinstance(value, Tensor) and value.requires_grad)
        macs = select_macs = 0
        if isinstance(module, Conv2d):
            macs = out.size * math.prod(module.weight.shape[1:])
        elif isinstance(module, Linear):
            macs = out.size * module.weight.shape[1]
        elif isinstance(module, SKConv):
            select_macs = out.size * len(module.branches)
        kind = "select" if isinstance(module, SKConv) else type(module).__name__
        rows.append(Row(name, kind, out.shape[1:], own, macs, select_macs))

    return hook
