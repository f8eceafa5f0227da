"""Recompute: run a module again in backward instead of keeping its activations; less memory, more time.

Source: Chen et al., *Training Deep Nets with Sublinear Memory Cost*, 2016.
"""

import contextlib
from collections.abc import Iterator

from ..autograd import Context, Function, Tensor, enable_grad, grad, is_grad_enabled, no_grad
from ..backend import Array, random_generator, seeded
from ..errors import ArgumentError, DtypeError
from ..ops.autocast import autocast, is_autocast_enabled
from .module import Module, in_modes


def recompute(module: Module, *inputs: Tensor) -> Tensor:
    """Return module(*inputs), saving only inputs and parameters for backward, which runs the module again.

    Running statistics are updated once. Random numbers are the same in both runs. In training mode, first derivatives
    have the same bits as without recomputation; higher ones, and those in evaluation mode, agree up to rounding.

    Args:
        module: returns one Tensor. Tensors that it uses beside its inputs and parameters count as constants.
        inputs: of any shapes.

    Raises:
        ArgumentError: module is not a Module.
        DtypeError: the module returned something other than a Tensor.
    """
    if not isinstance(module, Module):
        raise ArgumentError(f"recompute: module is a {type(module).__name__}, expected a Module")
    return Recompute.apply(*inputs, *module.parameters(), module=module, count=len(inputs))


class Recompute(Function):
    """A whole module as one operation of its inputs and parameters."""

    @staticmethod
    def forward(ctx: Context, *arrays: Array, module: Module, count: int) -> Array:
        """Run the module without recording.

        Args:
            arrays: the inputs, then the module's parameters.
            module: the module.
            count: how many of the arrays are inputs.
        """
        # Saving the parameters costs no memory, and lets backward find out if one was changed meanwhile.
        ctx.save_for_backward(*arrays)
        ctx.module, ctx.count = module, count
        ctx.seed = int(random_generator().integers(1 << 62))
        ctx.is_mixed = is_autocast_enabled()
        ctx.modes = [part.training for part in module.modules()]
        with no_grad(), seeded(ctx.seed):
            out = module(*[Tensor(array) for array in arrays[:count]])
        if not isinstance(out, Tensor):
            raise DtypeError(f"recompute: {type(module).__name__} returned a {type(out).__name__}, expected one Tensor")
        return out.data

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor | None, ...]:
        """Run the module again, recording it, and differentiate that graph."""
        saved = list(ctx.saved_tensors)
        is_recorded = is_grad_enabled()
        if not is_recorded:
            # Fresh leaves: this backward must stop at the inputs, whose own graph other nodes differentiate.
            for i, needs_grad in enumerate(ctx.needs_input_grad[: ctx.count]):
                saved[i] = Tensor(saved[i].data, requires_grad=needs_grad)
        leaves = [x for x in saved if x.requires_grad]
        with seeded(ctx.seed), in_modes(ctx.module, ctx.modes), _unchanged_statistics(ctx.module), enable_grad():
            with autocast(ctx.is_mixed):
                out = ctx.module(*saved[: ctx.count])
            gradients = iter(grad(out, leaves, dout, create_graph=is_recorded, allow_unused=True))
        return tuple(next(gradients) if x.requires_grad else None for x in saved)


@contextlib.contextmanager
def _unchanged_statistics(module: Module) -> Iterator[None]:
    """Restore the running statistics after the block: forward has updated them already."""
    statistics = [(buffer, buffer.data.copy()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, before in statistics:
            buffer.data[...] = before
