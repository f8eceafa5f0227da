"""Summary of a model: its layers with output shapes, parameters and multiply-adds, as `minisk summary` prints them.

Each module counts its own multiply-adds (`Module.macs`).
"""

from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..autograd import Tensor, no_grad
from ..nn import Module, evaluation_mode


class SummaryRow(NamedTuple):
    """One layer of a summary.

    name, kind: the dotted name, and the class of the module (of a module with children, its own step).
    shape: of the output, without the batch.
    parameters: number of trained values that the module itself holds.
    macs: multiply-adds per image.
    is_composite: whether the module has children, beside which it computes something itself.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int
    is_composite: bool


class ModelSummary(NamedTuple):
    """All layers in order of execution, and totals; `str()` returns a table.

    parameters, buffers: number of trained values, and of running statistics.
    """

    rows: list[SummaryRow]
    parameters: int
    buffers: int

    @property
    def macs(self) -> int:
        """Multiply-adds per image in layers without children: convolutions and linear layers."""
        return sum(row.macs for row in self.rows if not row.is_composite)

    @property
    def select_macs(self) -> int:
        """Multiply-adds per image in the select steps: one for each element of each branch."""
        return sum(row.macs for row in self.rows if row.is_composite)

    def __str__(self) -> str:
        lines = [f"{'layer':<36} {'kind':<16} {'output':<20} {'parameters':>12} {'multiply-adds':>16}"]
        for row in self.rows:
            shape = "×".join(map(str, row.shape))
            lines.append(f"{row.name:<36} {row.kind:<16} {shape:<20} {row.parameters:>12,} {row.macs:>16,}")
        stored = self.parameters + self.buffers
        total = self.macs + self.select_macs
        lines.append(f"\nparameters     {self.parameters:,} (with running statistics {stored:,})")
        lines.append(f"multiply-adds  {self.macs:,} in convolutions and linear layers, {total:,} with the select steps")
        return "\n".join(lines)


def summarize(model: Module, input_shape: tuple[int, int, int], auxiliary: bool = False) -> ModelSummary:
    """Run an empty batch through the model, in evaluation mode, and return its layers.

    An empty batch has every shape but no numbers, so a summary takes neither time nor memory for images of any size.

    Args:
        model: takes (N, C, H, W); its modes are restored afterwards.
        input_shape: (C, H, W).
        auxiliary: also count an auxiliary classifier, which runs in training mode only.
    """
    rows: list[SummaryRow] = []
    with ExitStack() as hooks, no_grad(), evaluation_mode(model):
        for name, module in model.named_modules():
            hooks.callback(module.register_forward_hook(partial(_add_row, rows, name)))
        model.training = auxiliary  # its layers stay in evaluation mode: batch statistics need images
        model(Tensor(np.zeros((0, *input_shape), next(model.parameters()).dtype)))
    return ModelSummary(rows, sum(p.size for p in model.parameters()), sum(b.size for b in model.buffers()))


def _add_row(rows: list[SummaryRow], name: str, module: Module, inputs: tuple[Any, ...], output: Any) -> None:
    if not isinstance(output, Tensor):
        return  # a network that also returns auxiliary logits, or a part of one with several paths: it has layers only
    is_composite = any(True for _ in module.children())
    one_image = Tensor(np.broadcast_to(np.float32(0), (1, *output.shape[1:])))  # without memory: only its shape counts
    macs = module.macs(one_image)
    if is_composite and macs == 0:
        return
    own = [value for value in vars(module).values() if isinstance(value, Tensor) and value.requires_grad]
    kind = module.own_step or type(module).__name__
    rows.append(SummaryRow(name, kind, output.shape[1:], sum(x.size for x in own), macs, is_composite))
