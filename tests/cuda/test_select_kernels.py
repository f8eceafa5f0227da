"""select.cu against the reference formulas, and the fused select step against the chain of Axpys it replaces."""

from __future__ import annotations

import numpy as np
import pytest
from agreement import assert_agrees, kernel_mode, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st

import minisk as ms
from minisk import kernels, models, ops

pytestmark = needs_compiler

FEW = settings(max_examples=15, derandomize=True, deadline=None, database=None)
# One element per plane; several planes per block, also with a tail; one block; several tiles and a tail.
SPATIAL = [1, 31, 300, 1024, 3 * 1024 + 5]


def drawn(seed: int, shape: tuple[int, ...], dtype: str = "d") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("mode", ["cpu", "threads"])
@pytest.mark.parametrize("branches", [1, 2, 3, 4, 5])  # more than 4 use the reference
@FEW
@given(n=st.integers(1, 3), c=st.integers(1, 5), spatial=st.sampled_from(SPATIAL), dtype=st.sampled_from("fd"))
def test_select_and_its_gradient_agree_with_the_reference(
    branches: int, mode: str, n: int, c: int, spatial: int, dtype: str
) -> None:
    features = [drawn(m, (n, c, spatial, 1), dtype) for m in range(branches)]
    logits, weights, dweights = (drawn(seed, (n, branches, c), dtype) for seed in (10, 11, 12))
    assert_agrees(mode, kernels.select, logits, *features)
    assert_agrees(mode, kernels.select_grad, drawn(13, features[0].shape, dtype), dweights, weights, *features)


@pytest.mark.parametrize("mode", ["numpy", "cpu", "threads"])
def test_fused_backward_equals_the_composition_when_both_results_are_used(mode: str) -> None:
    inputs = [ms.tensor(drawn(m, (2, 3, 4, 5)), requires_grad=True) for m in range(3)]
    logits = ms.tensor(drawn(5, (2, 3, 3)), requires_grad=True)
    seeds = [ms.tensor(drawn(6, (2, 3, 4, 5))), ms.tensor(drawn(7, (2, 3, 3)))]
    with kernel_mode(mode):
        results = ops.select(logits, inputs)
        fused = ms.grad(results, [logits, *inputs], seeds, retain_graph=True)
        composed = ms.grad(results, [logits, *inputs], seeds, create_graph=True)
    for one, other in zip(fused, composed, strict=True):
        assert other.requires_grad and not one.requires_grad
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("mode", ["numpy", "cpu"])
@pytest.mark.parametrize("branches", [[(3, 1, 1)], [(3, 1, 1), (3, 2, 1)], [(1, 1, 1), (3, 1, 1), (3, 2, 1)]], ids=len)
def test_a_fused_sk_conv_equals_the_axpy_composition(branches: list[tuple[int, int, int]], mode: str) -> None:
    ms.manual_seed(0)
    layer = models.SKConv(8, branches, L=4).to(dtype="float64")
    outcomes = []
    with kernel_mode(mode):
        for layer.fused in (True, False):
            x = ms.tensor(drawn(1, (4, 8, 6, 5)), requires_grad=True)
            layer.zero_grad()
            out = layer(x)
            out.backward(ms.tensor(drawn(2, out.shape)))
            assert layer.attention is not None and x.grad is not None
            gradients = [p.grad.numpy() for p in layer.parameters()]  # type: ignore[union-attr]
            outcomes.append([out.numpy(), layer.attention.numpy(), x.grad.numpy(), *gradients])
    for fused, composed in zip(*outcomes, strict=True):
        np.testing.assert_allclose(fused, composed, rtol=1e-9, atol=1e-12)


def test_forward_and_backward_have_the_same_bits_in_every_run() -> None:
    arrays = [drawn(m, (2, 64, 33, 31), "f") for m in range(3)]
    logits, weights = drawn(8, (2, 2, 64), "f"), drawn(9, (2, 2, 64), "f")
    with kernel_mode("cpu"):
        runs = [
            (*kernels.select(logits, *arrays[:2]), *kernels.select_grad(arrays[2], logits, weights, *arrays[:2]))
            for _ in range(3)
        ]
    for run in runs[1:]:
        assert [a.tobytes() for a in run] == [a.tobytes() for a in runs[0]]
