"""nn.recompute: the same bits as without it, in less memory."""

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


def saved_bytes(loss: ms.Tensor) -> int:
    """Return the bytes of the activations that a graph saves for backward, each array counted once."""
    nodes, leaves = reachable([loss])
    arrays = {id(s.array): s.array.nbytes for node in nodes for s in node.saved}
    return sum(arrays.values()) - sum(arrays.get(id(leaf.data), 0) for leaf in leaves.values())


def step(recompute: bool) -> tuple[int, list[Any]]:
    """Return the bytes saved, and loss, gradients and statistics, of a training step of sknet_small."""
    ms.manual_seed(3)
    model, x = models.sknet_small(), images(4, 3, 32, 32)
    model.recompute = recompute
    loss = ops.cross_entropy(model(x), ms.tensor([0, 1, 2, 3]))
    memory = saved_bytes(loss)
    loss.backward()
    found = [loss, x.grad, *(p.grad for p in model.parameters()), *model.buffers()]
    return memory, [tensor.numpy() for tensor in found]


def test_a_recomputed_network_has_the_same_bits_in_a_third_of_the_memory():
    (much, expected), (little, found) = step(False), step(True)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert 3 * little < much


def test_nothing_is_recomputed_in_evaluation():
    model, x = models.sknet_small().eval(), images(2, 3, 32, 32)
    model.recompute = True
    found = model(x)
    model.recompute = False
    np.testing.assert_array_equal(found.numpy(), model(x).numpy())


def test_second_derivatives_agree():
    unit = models.SKUnit(4, 4, 6, branches=BRANCHES, L=2).to(dtype="float64")
    x, dout, ddx = (images(2, *shape, dtype="d") for shape in ((4, 3, 3), (6, 3, 3), (4, 3, 3)))
    found = []
    for function in (unit, lambda x: nn.recompute(unit, x)):
        (dx,) = ms.grad(function(x), x, dout, create_graph=True)
        found.append(ms.grad(dx, [x, dout, unit.reduce.weight], ddx))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-12, atol=1e-12)


def test_inputs_without_requires_grad_get_no_gradient():
    conv, x = nn.Conv2d(2, 2, 1), images(1, 2, 3, 3, requires_grad=False)
    nn.recompute(conv, x).sum().backward()
    assert x.grad is None
    np.testing.assert_allclose(conv.bias.grad.numpy(), [9, 9])


def test_random_numbers_are_the_same_in_both_runs():
    ms.manual_seed(0)
    x = ms.tensor(np.ones((40, 5), np.float32), requires_grad=True)
    drop = nn.Dropout(0.5)
    y = nn.recompute(drop, x)
    drop(x)  # draws in between
    (dx,) = ms.grad(y, x, ms.tensor(np.ones((40, 5), np.float32)))
    np.testing.assert_array_equal(dx.numpy(), y.numpy())
    assert 0 < (y.numpy() == 0).sum() < 200


def test_the_second_run_does_not_reset_the_generator():
    ms.manual_seed(0)
    x = ms.tensor(np.ones(1000, np.float32), requires_grad=True)
    y = nn.recompute(nn.Dropout(0.5), x)
    before = ops.dropout(x, 0.5).numpy()
    y.sum().backward()
    assert (ops.dropout(x, 0.5).numpy() != before).any()


def test_running_statistics_are_updated_once():
    x = images(4, 3, 5, 5)
    plain, again = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    plain(x).sum().backward()
    nn.recompute(again, x).sum().backward()
    np.testing.assert_array_equal(again.running_mean.numpy(), plain.running_mean.numpy())
    np.testing.assert_array_equal(again.running_var.numpy(), plain.running_var.numpy())


def test_the_second_run_uses_the_modes_of_the_first():
    x, norm = images(4, 3, 5, 5), nn.BatchNorm2d(3)
    (expected,) = ms.grad((norm(x) ** 3).sum(), x)
    y = nn.recompute(norm, x)
    norm.eval()
    (found,) = ms.grad((y**3).sum(), x)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    assert not norm.training


def test_statistics_are_restored_if_the_second_run_fails():
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


def test_a_weight_changed_before_backward_is_an_error():
    conv, x = nn.Conv2d(2, 2, 1), images(1, 2, 3, 3)
    y = nn.recompute(conv, x)
    with ms.no_grad():
        conv.weight += 1
    with pytest.raises(SavedValueError, match="recompute"):
        y.sum().backward()


def test_several_inputs_and_a_nested_recompute_agree():
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


def test_a_module_that_does_not_return_a_tensor_is_an_error():
    class Pair(nn.Module):
        def forward(self, x: ms.Tensor) -> tuple[ms.Tensor, ms.Tensor]:
            return x, x

    with pytest.raises(ms.DtypeError, match="recompute: Pair returned a tuple"):
        nn.recompute(Pair(), images(2, 3))


def test_nothing_is_recorded_under_no_grad():
    with ms.no_grad():
        y = nn.recompute(nn.Conv2d(2, 2, 1), images(1, 2, 3, 3))
    assert not y.requires_grad
