"""What a model is made of: layers, output shapes, parameters and multiply-adds."""

import math
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import numpy as np

from ..autograd import Tensor, no_grad
from ..models import SKConv
from ..nn import Conv2d, Linear, Module
from ..nn.module import evaluation_mode


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
        for name, kind, sizes, own, macs, select_macs in self.rows:
            shape = "×".join(map(str, sizes))
            lines.append(f"{name:<36} {kind:<16} {shape:<20} {own:>12,} {macs + select_macs:>16,}")
        stored, together = self.parameters + self.buffers, self.macs + self.select_macs
        lines.append(f"\nparameters     {self.parameters:,} (with running statistics {stored:,})")
        lines.append(
            f"multiply-adds  {self.macs:,} in convolutions and linear layers, {together:,} with the select steps"
        )
        return "\n".join(lines)


def summarize(model: Module, input_shape: tuple[int, int, int]) -> Summary:
    """Run one blank image (C, H, W) through the model and note what each layer made of it."""
    rows: list[Row] = []
    with ExitStack() as hooks, no_grad(), evaluation_mode(model):
        for name, module in model.named_modules():
            if isinstance(module, SKConv) or not any(True for _ in module.children()):
                hooks.callback(module.register_forward_hook(partial(_note, rows, name)))
        model(Tensor(np.zeros((1, *input_shape), next(model.parameters()).dtype)))
    return Summary(rows, sum(p.size for p in model.parameters()), sum(b.size for b in model.buffers()))


def _note(rows: list[Row], name: str, module: Module, inputs: object, out: Tensor) -> None:
    own = sum(value.size for value in vars(module).values() if isinstance(value, Tensor) and value.requires_grad)
    kind, macs, select_macs = type(module).__name__, 0, 0
    if isinstance(module, Conv2d | Linear):
        macs = out.size * math.prod(module.weight.shape[1:])
    elif isinstance(module, SKConv):
        kind, select_macs = "select", out.size * len(module.branches)
    rows.append(Row(name, kind, out.shape[1:], own, macs, select_macs))
