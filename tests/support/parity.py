"""Two references for an operation: PyTorch (`assert_parity`) and central finite differences (`assert_derivatives`).

Both compare values, first and second derivatives. The second derivatives are the gradients of a randomly weighted sum
of the first ones, with respect to every input and every incoming gradient. Inputs are `distinct`, so that no maximum
ties by accident.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minisk as ms

TOLERANCE = {"float64": 1e-10, "float32": 2e-5}
# Mode `threads` runs every CUDA thread as a fiber, in four orders: it has time for a few examples of each operation.
EXAMPLES = 5 if os.environ.get("MINISK_KERNELS") == "threads" else 30
PROFILE = settings(
    derandomize=True, deadline=None, database=None, max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow]
)
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": lambda a: a.copy(),
    "transposed": lambda a: np.array(a.T, order="C").T,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a.copy(),
    "backwards": lambda a: np.asarray(np.flip(np.flip(a).copy())),
}


# --- Inputs -----------------------------------------------------------------------------------------------


def distinct(shapes: list[tuple[int, ...]], seed: int = 0) -> list[np.ndarray]:
    """Return arrays in which no value stands twice: none is 0, all lie in (-2.5, 2.5), unevenly spaced, shuffled."""
    rng = np.random.default_rng(seed)
    sizes = [int(np.prod(shape)) for shape in shapes]
    count = max(sum(sizes), 1)
    values = (rng.permutation(count) - count // 2 + 0.3 + 0.3 * rng.random(count)) * (4 / count)
    ends = np.cumsum([0, *sizes])
    return [values[a:b].reshape(shape) for (a, b), shape in zip(itertools.pairwise(ends), shapes, strict=True)]


def positive(array: np.ndarray) -> np.ndarray:
    """Move values into (0.4, 3) in the same order: a domain for log, sqrt and divisors."""
    return 0.4 + 0.5 * (array + 2.5)


@dataclass(frozen=True)
class Inputs:
    """Arrays for one comparison, and their layout in memory when minisk gets them."""

    arrays: list[np.ndarray]
    layout: str = "contiguous"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.arrays[0].shape

    def map(self, function: Callable[[np.ndarray], np.ndarray], first: int = 0) -> Inputs:
        """Apply the function to every array, or to those from position `first` on."""
        changed = [function(a) if i >= first else a for i, a in enumerate(self.arrays)]
        return Inputs(changed, self.layout)


def inputs(*shapes: Any) -> st.SearchStrategy[Inputs]:
    """Draw distinct arrays of the given shapes (tuples, or strategies for them) in any layout."""
    drawn = st.tuples(*(s if isinstance(s, st.SearchStrategy) else st.just(s) for s in shapes))
    return st.builds(distinct_inputs, drawn, st.integers(0, 2**20), st.sampled_from(list(LAYOUTS)))


def distinct_inputs(shapes: tuple[tuple[int, ...], ...], seed: int = 0, layout: str = "contiguous") -> Inputs:
    return Inputs(distinct(list(shapes), seed), layout)


def shapes(
    min_dims: int = 0, max_dims: int = 4, min_side: int = 1, max_side: int = 4
) -> st.SearchStrategy[tuple[int, ...]]:
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side)


def integer_pairs(least: int, most: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(least, most), st.integers(least, most))


def window_sizes(least: int, most: int) -> st.SearchStrategy[Any]:
    """Draw one size for both axes of an image, or a pair (height, width)."""
    return st.integers(least, most) | integer_pairs(least, most)


def as_pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


@st.composite
def broadcastable(draw: Any, count: int) -> Inputs:
    """Draw arrays whose shapes broadcast together; some are empty."""
    drawn = draw(hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=3, max_side=4, min_side=0))
    return draw(inputs(*drawn.input_shapes))


def draws(*strategies: Any, **named: Any) -> Callable[[Any], Any]:
    """Apply `hypothesis.given` with fixed settings: every run tries the same examples."""
    return lambda test: PROFILE(given(*strategies, **named)(test))


# --- minisk against PyTorch --------------------------------------------------------------------------------


def assert_parity(
    minisk_function: Any,
    torch_function: Any,
    given_inputs: Inputs | list[np.ndarray],
    dtypes: tuple[str, ...] = ("float64", "float32"),
) -> None:
    """Compare values, first gradients and second gradients of two functions; skip the test without PyTorch.

    PyTorch computes in float64 from the same (rounded) inputs, so that only the error of minisk is measured.
    """
    pytest.importorskip("torch")
    case = given_inputs if isinstance(given_inputs, Inputs) else Inputs(given_inputs)
    for dtype in dtypes:
        arrays = [LAYOUTS[case.layout](array.astype(dtype)) for array in case.arrays]
        expected = torch_results(torch_function, arrays)
        found = minisk_results(minisk_function, arrays)
        assert found.keys() == expected.keys()
        for what, reference in expected.items():
            assert_close(found[what], reference, dtype, f"{what} ({dtype}, {case.layout})")


def assert_close(found: ms.Tensor, reference: np.ndarray, dtype: str, what: str = "value") -> None:
    """Check dtype, shape, and max|Δ| ≤ tolerance · max|reference|; an all-zero reference counts as 1.

    In float32 a reference below 1/20 counts as 1/20. Terms of order 1 that cancel leave their rounding error behind;
    only float64 can resolve such a sum.
    """
    assert isinstance(found, ms.Tensor), f"{what}: a {type(found).__name__}"
    assert found.dtype == dtype, f"{what}: dtype {found.dtype}, expected {dtype}"
    assert found.shape == reference.shape, f"{what}: shape {found.shape}, expected {reference.shape}"
    error = np.abs(found.numpy() - reference).max(initial=0)
    size = np.abs(reference).max(initial=0) or 1
    bound = TOLERANCE[dtype] * (max(size, 0.05) if dtype == "float32" else size)
    assert error <= bound, f"{what}: off by {error:.3g}, allowed {bound:.3g}\n{found.numpy()}\nexpected\n{reference}"


def weights_like(results: list[Any], seed: int) -> list[np.ndarray]:
    """Return random incoming gradients: in a plain sum, mistakes could cancel."""
    rng = np.random.default_rng([seed, 20])
    return [np.asarray(rng.uniform(0.5, 1.5, r.shape) * rng.choice([-1, 1], r.shape)) for r in results]


def minisk_results(function: Any, arrays: list[np.ndarray]) -> dict[str, ms.Tensor]:
    xs = leaves(arrays)
    outs = as_list(function(*xs))
    gs = leaves(w.astype(arrays[0].dtype) for w in weights_like(outs, 1))
    unrecorded = gradients(outs, xs, gs, retain_graph=True)
    firsts = gradients(outs, xs, gs, create_graph=True)
    hs = leaves(w.astype(arrays[0].dtype) for w in weights_like(firsts, 2))
    seconds = gradients(firsts, [*xs, *gs], hs)
    return named(outs, firsts, seconds) | {f"{k} without a graph": v for k, v in named([], unrecorded, []).items()}


def gradients(outs: Any, xs: Any, gs: Any, **how: bool) -> tuple[ms.Tensor, ...]:
    """Call `ms.grad` on the outputs that require gradients; an input that none depends on gets zeros."""
    rooted = [(out, g) for out, g in zip(outs, gs, strict=True) if out.requires_grad]
    return ms.grad([out for out, _ in rooted], xs, [g for _, g in rooted], allow_unused=True, **how)


def torch_results(function: Any, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    import torch

    torch.set_num_threads(1)
    xs = [torch.tensor(array.astype("float64"), requires_grad=True) for array in arrays]
    outs = as_list(function(*xs))
    # The weights are rounded in the same way as those for minisk.
    gs = [torch.tensor(w.astype(arrays[0].dtype).astype("float64"), requires_grad=True) for w in weights_like(outs, 1)]
    firsts = torch.autograd.grad(outs, xs, gs, create_graph=True, materialize_grads=True)
    hs = [torch.tensor(w.astype(arrays[0].dtype).astype("float64")) for w in weights_like(firsts, 2)]
    roots = [(first, h) for first, h in zip(firsts, hs, strict=True) if first.requires_grad]
    total = sum((first * h).sum() for first, h in roots)
    seconds = (
        torch.autograd.grad(total, [*xs, *gs], materialize_grads=True) if roots else map(torch.zeros_like, [*xs, *gs])
    )
    results = named(outs, firsts, seconds) | {f"{k} without a graph": v for k, v in named([], firsts, []).items()}
    return {what: tensor.numpy(force=True) for what, tensor in results.items()}


def as_list(outs: Any) -> list[Any]:
    return list(outs) if isinstance(outs, tuple | list) else [outs]


def named(outs: Any, firsts: Any, seconds: Any) -> dict[str, Any]:
    kinds = {"output": outs, "gradient": firsts, "second gradient": seconds}
    return {f"{kind} {i}": result for kind, results in kinds.items() for i, result in enumerate(results)}


# --- minisk against finite differences ----------------------------------------------------------------------


def assert_derivatives(function: Any, arrays: list[np.ndarray], order: int = 2, step: float = 1e-5) -> None:
    """Check the gradient of a weighted sum of the outputs; then check the gradient function itself, order by order.

    The check moves all inputs in one random direction; small inputs are also moved element by element.
    """
    weights = weights_like(as_list(function(*leaves(arrays))), order)

    def loss(*moved: np.ndarray) -> float:
        outs = as_list(function(*leaves(moved)))
        return float(sum((w * out.numpy()).sum() for w, out in zip(weights, outs, strict=True)))

    def slope(direction: list[np.ndarray]) -> float:
        forward, backward = ([a + s * step * d for a, d in zip(arrays, direction, strict=True)] for s in (1, -1))
        return (loss(*forward) - loss(*backward)) / (2 * step)

    found = [
        g.numpy() for g in gradient_function(function, len(arrays), create_graph=False)(*leaves([*arrays, *weights]))
    ]
    scale = max(1.0, *(np.abs(g).max(initial=0) for g in found))
    for direction in directions(arrays):
        predicted = sum((g * d).sum() for g, d in zip(found, direction, strict=True))
        assert abs(predicted - slope(direction)) <= 2e-7 * scale * max(1, sum(np.abs(d).sum() for d in direction)), (
            f"with {order} orders left: gradient {predicted}, finite difference {slope(direction)}, along {direction}"
        )
    if order > 1:
        assert_derivatives(gradient_function(function, len(arrays)), [*arrays, *weights], order - 1, step)


def leaves(arrays: Any) -> list[ms.Tensor]:
    return [ms.Tensor(np.asarray(array), requires_grad=True) for array in arrays]


def gradient_function(function: Any, count: int, create_graph: bool = True) -> Any:
    """Return the map (inputs, incoming gradients) → gradients of the inputs, which can be differentiated in turn."""

    def function_of_both(*arguments: ms.Tensor) -> tuple[ms.Tensor, ...]:
        xs, gs = arguments[:count], arguments[count:]
        return gradients(as_list(function(*xs)), xs, gs, create_graph=create_graph)

    return function_of_both


def directions(arrays: list[np.ndarray], small: int = 60) -> Any:
    """Yield one random direction; then, for at most `small` elements, every unit direction."""
    rng = np.random.default_rng(3)
    yield [rng.standard_normal(a.shape) for a in arrays]
    if sum(a.size for a in arrays) <= small:
        for i, a in enumerate(arrays):
            for unit in np.eye(a.size):
                yield [unit.reshape(a.shape) if j == i else np.zeros(b.shape) for j, b in enumerate(arrays)]
