"""Planted bugs: compare the verdicts of minisk's gradient checker with PyTorch's and JAX's, and the cost of a check.

python benchmarks/gradcheck_peers.py        (PyTorch and JAX take part where they are installed)

A cell counts the tries (seeds) in which the checker complained. It should complain about a bug, and not about correct
gradients.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minisk as ms
from minisk import ops

TRIES = 10
HUNDRED = (10, 10)
AT = (7, 3)  # the wrong element among 100
Checker = Callable[[np.random.Generator], bool]  # → whether it complained


class Library(NamedTuple):
    """The functions of a library, and its checker.

    planted(forward, backward) returns a differentiable function with the given backward (x, d) → dx.
    complains(function, shape, dtype) returns a Checker.
    overwriting: a backward that overwrites d; None if the library's arrays cannot be changed.
    """

    softmax: Callable[[Any], Any]
    sigmoid: Callable[[Any], Any]
    planted: Callable[[Any, Any], Any]
    complains: Callable[[Any, tuple[int, ...], str], Checker]
    array: Callable[[Any], Any]
    overwriting: Callable[[Any, Any], Any] | None = None


def checks_of(library: Library) -> dict[str, Checker]:
    """Return the checker of each bug, and of one function without a bug."""

    def scaled_element(factor: float) -> Checker:
        marks = library.array(marked(factor))
        function = library.planted(lambda x: x * x, lambda x, d: 2 * x * d * marks)
        return library.complains(function, HUNDRED, "float64")

    zero = library.planted(library.softmax, lambda x, d: 0 * d)
    found = {
        "softmax: backward is 0": library.complains(zero, (4, 5), "float64"),
        "1 of 100 gradients × 1.01": scaled_element(1.01),
        "1 of 100 gradients × 1.1": scaled_element(1.1),
        "right, in float32": library.complains(library.sigmoid, HUNDRED, "float32"),
    }
    if library.overwriting is not None:
        overwriting = library.planted(lambda x: x * x, library.overwriting)
        found["incoming gradient overwritten"] = library.complains(overwriting, HUNDRED, "float64")
    return found


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def function_class(base: Any, forward: Any, backward: Any) -> Any:
    """Return a subclass of minisk's or PyTorch's Function: both have the same interface."""

    class Planted(base):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return forward(x)

        @staticmethod
        def backward(ctx: Any, dout: Any) -> Any:
            return backward(ctx.saved_tensors[0], dout)

    return Planted


def minisk_library() -> Library:
    def planted(forward: Any, backward: Any) -> Any:
        return function_class(ms.Function, forward, lambda x, d: ms.Tensor(backward(x.data, d.data))).apply

    def complains(fn: Any, shape: tuple[int, ...], dtype: str) -> Checker:
        def check(rng: np.random.Generator) -> bool:
            x = rng.standard_normal(shape)
            return not ms.gradcheck(fn, x, dtype=dtype, seed=int(rng.integers(2**31)), raise_on_failure=False).ok

        return check

    def overwriting(x: np.ndarray, d: np.ndarray) -> np.ndarray:
        d *= 2 * x
        return d

    return Library(softmax, ops.sigmoid, planted, complains, np.asarray, overwriting)


def torch_library(fast: bool) -> Library:
    import torch

    def planted(forward: Any, backward: Any) -> Any:
        return function_class(torch.autograd.Function, forward, backward).apply

    def complains(fn: Any, shape: tuple[int, ...], dtype: str) -> Checker:
        def check(rng: np.random.Generator) -> bool:
            x = torch.tensor(rng.standard_normal(shape), dtype=getattr(torch, dtype), requires_grad=True)
            return not torch.autograd.gradcheck(fn, (x,), fast_mode=fast, raise_exception=False)

        return check

    return Library(lambda x: x.softmax(-1), torch.sigmoid, planted, complains, torch.tensor, lambda x, d: d.mul_(2 * x))


def jax_library() -> Library:
    import jax
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)

    def planted(forward: Any, backward: Any) -> Any:
        function = jax.custom_vjp(forward)
        function.defvjp(lambda x: (forward(x), x), lambda x, d: (backward(x, d),))
        return function

    def complains(fn: Any, shape: tuple[int, ...], dtype: str) -> Checker:
        def check(rng: np.random.Generator) -> bool:
            np.random.seed(int(rng.integers(2**31)))
            try:
                check_grads(fn, (rng.standard_normal(shape).astype(dtype),), order=1, modes=["rev"])
            except AssertionError:
                return True
            return False

        return check

    return Library(lambda x: jax.nn.softmax(x, -1), jax.nn.sigmoid, planted, complains, np.asarray)


def marked(factor: float) -> np.ndarray:
    marks = np.ones(HUNDRED)
    marks[AT] = factor
    return marks


def columns() -> dict[str, dict[str, Checker]]:
    found = {"minisk": checks_of(minisk_library())}
    for name, make in {
        "torch full": lambda: torch_library(fast=False),
        "torch fast": lambda: torch_library(fast=True),
        "jax": jax_library,
    }.items():
        try:
            found[name] = checks_of(make())
        except ImportError as error:
            print(f"{name}: left out ({error})")
    return found


def costs() -> None:
    """Print the time of one check of conv2d, 2×3×8×8 to 4 channels with a 3×3 kernel: the best of five."""
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
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    warnings.simplefilter("ignore")  # PyTorch warns about float32
    found = columns()
    print(f"{'complaints in ' + str(TRIES) + ' tries':<32}" + "".join(f"{name:>12}" for name in found))
    for bug in found["minisk"]:
        cells = []
        for checks in found.values():
            if bug in checks:
                complaints = sum(checks[bug](np.random.default_rng(seed)) for seed in range(TRIES))
                cells.append(f"{complaints}/{TRIES}")
            else:
                cells.append("-")
        print(f"{bug:<32}" + "".join(f"{cell:>12}" for cell in cells))
    costs()


if __name__ == "__main__":
    main()
