"""Answers to PyTorch's words for arrays, where minisk uses NumPy's: `x.sum(dim=0)`, `x.view(2, 3)`, `x.size()`.

Each raises what Python raises for an unknown name, TypeError or AttributeError, with the word to use instead.
"""

import functools
from collections.abc import Callable
from typing import Any, NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

ARGUMENTS = {"dim": "axis", "keepdim": "keepdims", "correction": "ddof", "unbiased": "ddof"}

# Methods that Tensor leaves out, and how to write them.
METHODS = {
    "view": "x.reshape(...)",
    "permute": "x.transpose(...)",
    "numel": "x.size",
    "dim": "x.ndim",
    "unsqueeze": "ops.expand_dims(x, axis) or x[..., None]",
    "expand": "x.broadcast_to(shape)",
    "clone": "x.detach(), or x * 1 with a graph",
    "std": "x.var(axis).sqrt()",
    "norm": "(x * x).sum().sqrt()",
    "tolist": "x.numpy().tolist()",
    "cpu": 'x.to("cpu")',
    "cuda": 'x.to("cuda")',
    "half": 'x.to("float16")',
    "float": 'x.to("float32")',
    "double": 'x.to("float64")',
    "long": 'x.to("int64")',
    "split": "ops.split(x, sections, axis)",
    "masked_fill": "ops.where(mask, value, x)",
    "requires_grad_": "x.requires_grad = True",
    "grad_fn": "x.node",
}


class LeftOut:
    """An attribute that raises AttributeError with the words to use instead.

    A `__getattr__` of Tensor would do the same, but it makes every access to an attribute slower.
    """

    def __init__(self, name: str, instead: str) -> None:
        self.message = f"'Tensor' object has no attribute {name!r}; use {instead}"

    def __get__(self, tensor: Any, owner: Any = None) -> NoReturn:
        """Raise AttributeError."""
        raise AttributeError(self.message)


def numpy_words(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function of an axis: a PyTorch word among its keywords is answered by NumPy's word.

    `np.sum(x)` passes `dtype=None` and `out=None`, which are dropped.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for word in kwargs:
            if word in ARGUMENTS:
                raise TypeError(f"{function.__name__}: there is no {word}; use {ARGUMENTS[word]}, as in NumPy")
        for word in ("dtype", "out"):
            if word in kwargs and kwargs[word] is None:
                del kwargs[word]
        return function(*args, **kwargs)

    return call


class Count(int):
    """A number of elements, which an error explains if it is called as PyTorch's `x.size()` is."""

    def __call__(self, *axis: Any) -> NoReturn:
        """Raise TypeError."""
        raise TypeError("size: x.size is the number of elements, as in NumPy; use x.shape")
