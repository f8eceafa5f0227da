"""nn.recompute: the same bits as without, from less memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minisk as ms
from minisk import models, nn, ops
from minisk.autograd.engine import reachable
from minisk.errors import SavedValueError

BRANCHES = [(3, 1, 2), (3, 2, 2)]


def images(*shape: int, dtype: str = "f", requires_grad: bool = True) -> ms.Tensor:
    values = np.random.default_rng(len(shape)).standard_normal(shape)
    return ms.tensor(values.astype(dtype), requires_grad=requires_grad)


def kept(loss: ms.Tensor) -> int:
    """Bytes of the activations that a graph holds for backward, each counted once."""
    nodes, leaves = reachable([loss])
    arrays = {id(s.array): s.array.nbytes for node in nodes for s in node.saved}
    return sum(arrays.values()) - sum(arrays.get(id(leaf.data), 0) for leaf in leaves)


def step(recompute: bool) -> tuple[int, list[Any]]:
    """Return what was kept, and loss, gradients and statistics of a training step of sknet_small."""
    ms.manual_seed(3)
    model, x = models.sknet_small(), images(4, 3, 32, 32)
    model.recompute = recompute
    loss = ops.cross_entropy(model(x), ms.tensor([0, 1, 2, 3]))
    memory = kept(loss)
    loss.backward()
    found = [loss, x.grad, *(p.grad for p in model.parameters()), *model.buffers()]
    return memory, [tensor.numpy() for tensor in found]


def test_a_network_has_the_same_bits_from_a_third_of_the_memory():
    (much, expected), (little, found) = step(False), step(True)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert 3 * little < much


def test_not_in_evaluation():
    model, x = models.sknet_small().eval(), images(2, 3, 32, 32)
    model.recompute = True
    found = model(x)
    model.recompute = False
    np.testing.assert_array_equal(found.numpy(), model(x).numpy())


def test_gradients_of_any_order():
    unit = models.SKUnit(4, 4, 6, branches=BRANCHES, L=2).to(dtype="float64")
    x, dout, ddx = (images(2, *shape, dtype="d") for shape in ((4, 3, 3), (6, 3, 3), (4, 3, 3)))
    found = []
    for function in (unit, lambda x: nn.recompute(unit, x)):
        (dx,) = ms.grad(function(x), x, dout, create_graph=True)
        found.append(ms.grad(dx, [x, dout, unit.reduce.weight], ddx))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-12, atol=1e-12)


def test_only_the_gradients_that_are_wanted():
    conv, x = nn.Conv2d(2, 2, 1), images(1, 2, 3, 3, requires_grad=False)
    nn.recompute(conv, x).sum().backward()
    assert x.grad is None
    np.testing.assert_allclose(conv.bias.grad.numpy(), [9, 9])


def test_what_is_random_comes_again():
    ms.manual_seed(0)
    x = ms.tensor(np.ones((40, 5), np.float32), requires_grad=True)
    drop = nn.Dropout(0.5)
    y = nn.recompute(drop, x)
    drop(x)  # draws in between
    (dx,) = ms.grad(y, x, ms.tensor(np.ones((40, 5), np.float32)))
    np.testing.assert_array_equal(dx.numpy(), y.numpy())
    assert 0 < (y.numpy() == 0).sum() < 200


def test_drawing_goes_on_from_where_it_was():
    ms.manual_seed(0)
    x = ms.tensor(np.ones(1000, np.float32), requires_grad=True)
    y = nn.recompute(nn.Dropout(0.5), x)
    before = ops.dropout(x, 0.5).numpy()
    y.sum().backward()
    assert (ops.dropout(x, 0.5).numpy() != before).any()


def test_running_statistics_move_once():
    x = images(4, 3, 5, 5)
    plain, again = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    plain(x).sum().backward()
    nn.recompute(again, x).sum().backward()
    np.testing.assert_array_equal(again.running_mean.numpy(), plain.running_mean.numpy())
    np.testing.assert_array_equal(again.running_var.numpy(), plain.running_var.numpy())


def test_backward_runs_in_the_mode_of_forward():
    x, norm = images(4, 3, 5, 5), nn.BatchNorm2d(3)
    (expected,) = ms.grad((norm(x) ** 3).sum(), x)
    y = nn.recompute(norm, x)
    norm.eval()
    (found,) = ms.grad((y**3).sum(), x)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    assert not norm.training


def test_statistics_stay_where_they_are_if_the_second_run_fails():
    class Failing(nn.Module):
        def __init__(self) -> None:
            self.norm, self.runs = nn.BatchNorm2d(3), 0

        def forward(self, x: ms.Tensor) -> ms.Tensor:
            out, self.runs = self.norm(x), self.runs + 1
            if self.runs > 1:
                raise RuntimeError("the second time")
            return out

    module, x = Failing(), images(4, 3, 5, 5)
    y = nn.recompute(module, x)
    before = module.norm.running_mean.numpy().copy()
    with pytest.raises(RuntimeError, match="the second time"):
        y.sum().backward()
    np.testing.assert_array_equal(module.norm.running_mean.numpy(), before)


def test_a_weight_changed_in_between_is_told():
    conv, x = nn.Conv2d(2, 2, 1), images(1, 2, 3, 3)
    y = nn.recompute(conv, x)
    with ms.no_grad():
        conv.weight += 1
    with pytest.raises(SavedValueError, match="recompute"):
        y.sum().backward()


def test_several_inputs_and_a_recompute_within():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            self.conv = nn.Conv2d(2, 2, 1)

        def forward(self, x: ms.Tensor, scale: ms.Tensor) -> ms.Tensor:
            return nn.recompute(self.conv, x) * scale

    module, x, scale = Scaled(), images(1, 2, 3, 3), images(2, 1, 1)
    found = ms.grad(nn.recompute(module, x, scale).sum(), [x, scale, module.conv.weight])
    expected = ms.grad((module.conv(x) * scale).sum(), [x, scale, module.conv.weight])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_a_module_that_returns_something_else_is_told():
    class Pair(nn.Module):
        def forward(self, x: ms.Tensor) -> tuple[ms.Tensor, ms.Tensor]:
            return x, x

    with pytest.raises(ms.DtypeError, match="recompute: Pair returned a tuple"):
        nn.recompute(Pair(), images(2, 3))


def test_nothing_is_kept_without_gradients():
    with ms.no_grad():
        y = nn.recompute(nn.Conv2d(2, 2, 1), images(1, 2, 3, 3))
    assert not y.requires_grad
