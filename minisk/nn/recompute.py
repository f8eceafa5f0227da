"""Activations that are not kept but computed again: memory for time.

Source: Chen et al., *Training Deep Nets with Sublinear Memory Cost*, 2016.
"""

import contextlib
from collections.abc import Iterator

from ..autograd import Context, Function, Tensor, enable_grad, grad, is_grad_enabled, no_grad
from ..backend import Array, random_generator, seeded
from ..errors import DtypeError
from .module import Module, in_modes


class Recompute(Function):
    """A whole module as one operation of its inputs and parameters, which keeps nothing else for backward."""

    @staticmethod
    def forward(ctx: Context, *arrays: Array, module: Module, count: int) -> Array:
        # The parameters too, although they live on anyway: one that is changed meanwhile is then told.
        ctx.save_for_backward(*arrays)
        ctx.module, ctx.count, ctx.seed = module, count, int(random_generator().integers(1 << 62))
        ctx.modes = [part.training for part in module.modules()]
        with no_grad(), seeded(ctx.seed):
            out = module(*map(Tensor, arrays[:count]))
        if not isinstance(out, Tensor):
            raise DtypeError(f"recompute: {type(module).__name__} returned a {type(out).__name__}, expected one Tensor")
        return out.data

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor | None, ...]:
        given, is_recorded = list(ctx.saved_tensors), is_grad_enabled()
        if not is_recorded:  # the way back ends at the inputs, as the rest of it is another node's work
            for i, wanted in enumerate(ctx.needs_input_grad[: ctx.count]):
                given[i] = Tensor(given[i].data, requires_grad=wanted)
        leaves = [x for x in given if x.requires_grad]
        with seeded(ctx.seed), in_modes(ctx.module, ctx.modes), _statistics_kept(ctx.module), enable_grad():
            out = ctx.module(*given[: ctx.count])
            found = iter(grad(out, leaves, dout, create_graph=is_recorded, allow_unused=True))
        return tuple(next(found) if x.requires_grad else None for x in given)


@contextlib.contextmanager
def _statistics_kept(module: Module) -> Iterator[None]:
    """Afterwards, running statistics are what they were before: the first run has moved them already."""
    statistics = [(buffer, buffer.data.copy()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, before in statistics:
            buffer.data[...] = before


def recompute(module: Module, *inputs: Tensor) -> Tensor:
    """Return module(*inputs), keeping only the inputs for backward, which runs the module again.

    Of any shapes; the module returns one Tensor, and all that needs a gradient is an input or a parameter of it: what
    it uses besides is a constant. Running statistics move once. What is random inside follows from one number of
    minisk's generator, and is the same again. The gradients are the same bits as without, those of higher order up to
    rounding.
    Raises what the module does, and DtypeError if it returns anything but a Tensor.
    """
    out: Tensor = Recompute.apply(*inputs, *module.parameters(), module=module, count=len(inputs))
    return out
