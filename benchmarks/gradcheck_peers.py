"""Planted bugs, side by side: what minisk's gradient checker, PyTorch's and JAX's say, and what a check costs.

python benchmarks/gradcheck_peers.py        (PyTorch and JAX take part where they are installed)

A cell counts the tries (seeds) in which the checker complained: it should for a bug, it should not for what is right.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import minisk as ms
from minisk import ops

TRIES = 10
AT = (7, 3)  # the wrong one among 100 elements
Checker = Callable[[np.random.Generator], bool]  # → whether it complained
BUGS = [
    "softmax: backward is 0",
    "1 of 100 gradients × 1.01",
    "1 of 100 gradients × 1.1",
    "right, in float32",
    "incoming gradient overwritten",
]


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def minisk_column() -> dict[str, Checker]:
    def function(forward: Any, backward: Any) -> type[ms.Function]:
        class Planted(ms.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(x)
                return forward(x)

            @staticmethod
            def backward(ctx: Any, dout: Any) -> Any:
                return ms.Tensor(backward(ctx.saved_tensors[0].data, dout.data))

        return Planted

    def complains(fn: Any, shape: tuple[int, ...], dtype: str = "float64") -> Checker:
        def check(rng: np.random.Generator) -> bool:
            x = rng.standard_normal(shape)
            return not ms.gradcheck(fn, x, dtype=dtype, seed=int(rng.integers(2**31)), raise_on_failure=False).ok

        return check

    def one_of_100(factor: float) -> Checker:
        return complains(function(np.square, lambda x, d: 2 * x * d * marked(factor)), (10, 10))

    def overwriting(x: np.ndarray, d: np.ndarray) -> np.ndarray:
        d *= 2 * x
        return d

    return dict(
        zip(
            BUGS,
            [
                complains(function(softmax, lambda x, d: 0 * d), (4, 5)),
                one_of_100(1.01),
                one_of_100(1.1),
                complains(ops.sigmoid, (10, 10), "float32"),
                complains(function(np.square, overwriting), (10, 10)),
            ],
            strict=True,
        )
    )


def torch_column(fast: bool) -> dict[str, Checker]:
    import torch

    def function(forward: Any, backward: Any) -> Any:
        class Planted(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(x)
                return forward(x)

            @staticmethod
            def backward(ctx: Any, dout: Any) -> Any:
                return backward(ctx.saved_tensors[0], dout)

        return Planted.apply

    def complains(fn: Any, shape: tuple[int, ...], dtype: Any = torch.float64) -> Checker:
        def check(rng: np.random.Generator) -> bool:
            x = torch.tensor(rng.standard_normal(shape), dtype=dtype, requires_grad=True)
            return not torch.autograd.gradcheck(fn, (x,), fast_mode=fast, raise_exception=False)

        return check

    def one_of_100(factor: float) -> Checker:
        marks = torch.tensor(marked(factor))
        return complains(function(torch.square, lambda x, d: 2 * x * d * marks), (10, 10))

    def overwriting(x: Any, d: Any) -> Any:
        return d.mul_(2 * x)

    return dict(
        zip(
            BUGS,
            [
                complains(function(lambda x: x.softmax(-1), lambda x, d: 0 * d), (4, 5)),
                one_of_100(1.01),
                one_of_100(1.1),
                complains(torch.sigmoid, (10, 10), torch.float32),
                complains(function(torch.square, overwriting), (10, 10)),
            ],
            strict=True,
        )
    )


def jax_column() -> dict[str, Checker]:
    import jax
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)

    def function(forward: Any, backward: Any) -> Any:
        planted = jax.custom_vjp(forward)
        planted.defvjp(lambda x: (forward(x), x), lambda x, d: (backward(x, d),))
        return planted

    def complains(fn: Any, shape: tuple[int, ...], dtype: str = "float64") -> Checker:
        def check(rng: np.random.Generator) -> bool:
            np.random.seed(int(rng.integers(2**31)))
            try:
                check_grads(fn, (rng.standard_normal(shape).astype(dtype),), order=1, modes=["rev"])
            except AssertionError:
                return True
            return False

        return check

    def one_of_100(factor: float) -> Checker:
        return complains(function(lambda x: x * x, lambda x, d: 2 * x * d * marked(factor)), (10, 10))

    return dict(
        zip(
            BUGS[:-1],
            [
                complains(function(lambda x: jax.nn.softmax(x, -1), lambda x, d: 0 * d), (4, 5)),
                one_of_100(1.01),
                one_of_100(1.1),
                complains(jax.nn.sigmoid, (10, 10), "float32"),
            ],
            strict=True,
        )
    )


def marked(factor: float) -> np.ndarray:
    marks = np.ones((10, 10))
    marks[AT] = factor
    return marks


def columns() -> dict[str, dict[str, Checker]]:
    found = {"minisk": minisk_column()}
    for name, make in {
        "torch full": lambda: torch_column(False),
        "torch fast": lambda: torch_column(True),
        "jax": jax_column,
    }.items():
        try:
            found[name] = make()
        except ImportError as error:
            print(f"{name}: left out ({error})")
    return found


def costs() -> None:
    """Time one check of conv2d, 2×3×8×8 to 4 channels with a 3×3 kernel; the best of five."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in ((2, 3, 8, 8), (4, 3, 3, 3), (4,))]
    timed: dict[str, Callable[[], Any]] = {
        f"minisk {mode}": lambda mode=mode: ms.gradcheck(ops.conv2d, arrays, mode=mode) for mode in ("auto", "full")
    }
    try:
        import torch

        torch.set_num_threads(1)
        xs = [torch.tensor(a, requires_grad=True) for a in arrays]
        for fast in (False, True):
            timed[f"torch {'fast' if fast else 'full'}"] = lambda fast=fast: torch.autograd.gradcheck(
                torch.nn.functional.conv2d, xs, fast_mode=fast
            )
    except ImportError:
        pass
    for name, check in timed.items():
        print(f"conv2d, {name}: {1000 * min(_seconds(check) for _ in range(5)):.1f} ms")


def _seconds(check: Callable[[], Any]) -> float:
    started = time.perf_counter()
    check()
    return time.perf_counter() - started


def main() -> None:
    warnings.simplefilter("ignore")  # PyTorch's, about float32
    found = columns()
    print(f"{'complaints in ' + str(TRIES) + ' tries':<32}" + "".join(f"{name:>12}" for name in found))
    for bug in BUGS:
        cells = []
        for checks in found.values():
            told = [checks[bug](np.random.default_rng(seed)) for seed in range(TRIES)] if bug in checks else None
            cells.append("-" if told is None else f"{sum(told)}/{TRIES}")
        print(f"{bug:<32}" + "".join(f"{cell:>12}" for cell in cells))
    costs()


if __name__ == "__main__":
    main()
