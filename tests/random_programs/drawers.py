"""For each operation, a function that draws a call of it: operands that fit, and settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from generator import Builder, Unfit, _broadcasts
from steps import Ref

DRAWERS: dict[str, Callable[[Builder], None]] = {}
# Public operations without a drawer, each with the reason.
LEFT_OUT = {"set_item": "the step Write runs it"}


def draws(*names: str) -> Callable[[Callable[[Builder, str], None]], Callable[[Builder, str], None]]:
    """Enter a function as the drawer of some operations; it also receives the operation's name."""

    def enter(function: Callable[[Builder, str], None]) -> Callable[[Builder, str], None]:
        for name in names:
            DRAWERS[name] = lambda b, name=name: function(b, name)
        return function

    return enter


def form(b: Builder) -> str:
    return b.choose(["function", "operator"])


def sometimes_integers(b: Builder) -> Ref:
    """Return a value of any shape: floating, or at times integers."""
    found = b.existing(kinds="iu") if b.chance(0.12) else None
    return found or b.floating()


def positive(b: Builder) -> Ref:
    """Return a value whose elements are well above 0, or, among special values, any."""
    if b.style == "special" and b.chance(0.7):
        return b.floating()
    found = b.existing(lambda v: bool((v > 0.05).all())) if b.chance(0.7) else None
    return found or b.leaf(b.shape(), is_positive=True)


def axis_of(b: Builder, x: Ref) -> int:
    """Return one axis, from either end. Raises Unfit for shape ()."""
    ndim = b.value(x).ndim
    if ndim == 0:
        raise Unfit
    return int(b.random.integers(-ndim, ndim))


def axes_of(b: Builder, x: Ref) -> Any:
    """Return one axis, several, or None."""
    ndim = b.value(x).ndim
    if ndim == 0 or b.chance(0.3):
        return None
    if b.chance(0.5):
        return axis_of(b, x)
    count = int(b.random.integers(1, ndim + 1))
    return tuple(int(a) - (ndim if b.chance(0.3) else 0) for a in b.random.permutation(ndim)[:count])


# --- Element by element -----------------------------------------------------------------------------------------


@draws("exp", "tanh", "sigmoid", "relu")
def draw_unary(b: Builder, name: str) -> None:
    b.call(name, sometimes_integers(b))


@draws("neg", "abs")
def draw_operator(b: Builder, name: str) -> None:
    b.call(name, sometimes_integers(b), form=form(b))


@draws("log", "sqrt")
def draw_unary_of_positive(b: Builder, name: str) -> None:
    b.call(name, positive(b))


@draws("clip")
def draw_clip(b: Builder, name: str) -> None:
    low, high = b.choose([(-0.7, 0.9), (None, 1.0), (0, None), (-1, 1), (0.0, 6.0)])
    b.call(name, sometimes_integers(b), min=low, max=high)


@draws("pow")
def draw_pow(b: Builder, name: str) -> None:
    exponent = b.choose([2, 3, 0, 1, 0.5, -1, -0.5, 1.5, -2, np.float32(2), np.int64(2)])
    is_natural = isinstance(exponent, int | np.integer) and exponent >= 0
    b.call(name, sometimes_integers(b) if is_natural else positive(b), exponent=exponent, form=form(b))


@draws("add", "sub", "mul", "maximum", "minimum")
def draw_binary(b: Builder, name: str) -> None:
    x = sometimes_integers(b)
    pair: list[Any] = [x, b.partner(x)]
    if b.chance(0.3) and not isinstance(pair[1], list):
        pair.reverse()
    is_operator = name in ("add", "sub", "mul") and b.chance(0.6)
    b.call(name, *pair, form="operator" if is_operator else "function")


@draws("div")
def draw_div(b: Builder, name: str) -> None:
    y = positive(b)
    b.call(name, b.partner(y), y, form=form(b))


@draws("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
def draw_comparison(b: Builder, name: str) -> None:
    x = sometimes_integers(b)
    b.call(name, x, b.partner(x), form=form(b))


@draws("logical_and", "logical_or", "logical_not")
def draw_logical(b: Builder, name: str) -> None:
    x = b.existing(kinds="b") or b.leaf(b.shape(), "bool")
    shape = tuple(b.value(x).shape)
    other: Any = b.existing(lambda v: _broadcasts(tuple(v.shape), shape), kinds="b")
    if other is None or b.chance(0.4):
        other = b.random.random(shape[int(b.random.integers(len(shape) + 1)) :]) < 0.5
    b.call(name, *([x] if name == "logical_not" else [x, other]), form=form(b))


@draws("where")
def draw_where(b: Builder, name: str) -> None:
    x = b.floating()
    shape = tuple(b.value(x).shape)
    condition: Any = b.existing(lambda v: _broadcasts(tuple(v.shape), shape), kinds="b")
    if condition is None or b.chance(0.3):
        condition = b.random.random(shape[int(b.random.integers(len(shape) + 1)) :]) < 0.5
    b.call(name, condition, *([x, b.partner(x)] if b.chance(0.5) else [b.partner(x), x]))


@draws("add_relu")
def draw_add_relu(b: Builder, name: str) -> None:
    x = b.floating()
    b.call(name, x, b.like(b.value(x).shape))


@draws("dropout")
def draw_dropout(b: Builder, name: str) -> None:
    b.call(name, b.floating(), p=b.choose([0.0, 0.25, 0.5, 0.75]), seed=int(b.random.integers(1000)))


# --- Reductions -------------------------------------------------------------------------------------------------


@draws("sum", "mean", "max", "min")
def draw_reduction(b: Builder, name: str) -> None:
    x = sometimes_integers(b)
    if b.reference.dtype(b.value(x)) == "uint8":  # whose sum is uint64 in NumPy, and int64 in PyTorch
        raise Unfit
    b.call(name, x, axis=axes_of(b, x), keepdims=b.chance(0.4))


@draws("var")
def draw_var(b: Builder, name: str) -> None:
    x = b.floating()
    b.call(name, x, axis=axes_of(b, x), ddof=b.choose([0, 0, 1]), keepdims=b.chance(0.4))


@draws("argmax")
def draw_argmax(b: Builder, name: str) -> None:
    x = sometimes_integers(b)
    b.call(name, x, axis=None if b.chance(0.3) else axis_of(b, x))


@draws("softmax", "log_softmax")
def draw_softmax(b: Builder, name: str) -> None:
    x = sometimes_integers(b)
    b.call(name, x, axis=axis_of(b, x))


@draws("cross_entropy")
def draw_cross_entropy(b: Builder, name: str) -> None:
    x = b.floating(2, 2, lambda v: 0 not in v.shape)
    n, k = b.value(x).shape
    target: Any = b.random.integers(0, k, n)
    dtype = b.reference.dtype(b.value(x))
    if b.chance(0.3):
        target = (np.asarray(b.random.integers(0, 5, (n, k))) / 4).astype(dtype)
    b.call(name, x, target=target, label_smoothing=b.choose([0.0, 0.1, 0.5]))


# --- Shapes -----------------------------------------------------------------------------------------------------


@draws("reshape")
def draw_reshape(b: Builder, name: str) -> None:
    x = b.floating()
    size = b.value(x).numel()
    divisors = [d for d in range(1, 8) if size and size % d == 0]
    first = b.choose(divisors) if divisors else 0
    shapes = [(-1,), (size,), (1, -1), (first, -1), (first, -1, 1)] if size else [(0,), (0, 2), (3, 0)]
    b.call(name, x, shape=b.choose(shapes))
    b.frozen.add(b.memory(x))
    b.frozen.add(b.memory(Ref(b.steps[-1].names[0])))


@draws("transpose")
def draw_transpose(b: Builder, name: str) -> None:
    x = b.floating()
    ndim = b.value(x).ndim
    order = [int(a) - (ndim if b.chance(0.2) else 0) for a in b.random.permutation(ndim)]
    b.call(name, x, axes=tuple(order))


@draws("broadcast_to")
def draw_broadcast_to(b: Builder, name: str) -> None:
    x = b.floating(0, 3)
    shape = tuple(int(b.random.integers(0, 4)) if n == 1 else n for n in b.value(x).shape)
    b.call(name, x, shape=(int(b.random.integers(1, 4)), *shape) if b.chance(0.5) else shape)


@draws("sum_to")
def draw_sum_to(b: Builder, name: str) -> None:
    x = b.floating()
    shape = tuple(1 if b.chance(0.4) else n for n in b.value(x).shape)
    b.call(name, x, shape=shape[int(b.random.integers(len(shape) + 1)) :])


@draws("expand_dims")
def draw_expand_dims(b: Builder, name: str) -> None:
    x = sometimes_integers(b)
    ndim = b.value(x).ndim
    b.call(name, x, axis=int(b.random.integers(-ndim - 1, ndim + 1)))


@draws("squeeze")
def draw_squeeze(b: Builder, name: str) -> None:
    x = b.floating(1, 5, lambda v: 1 in v.shape)
    axis = b.choose([i for i, n in enumerate(b.value(x).shape) if n == 1])
    b.call(name, x, axis=b.choose([axis, axis - b.value(x).ndim, None]))


@draws("pad")
def draw_pad(b: Builder, name: str) -> None:
    x = b.floating(1, 4)
    pairs = b.random.integers(0, 3, (b.value(x).ndim, 2)).tolist()
    b.call(name, x, pad_width=[tuple(pair) for pair in pairs])


@draws("concatenate", "stack")
def draw_joined(b: Builder, name: str) -> None:
    x = b.floating(1 if name == "concatenate" else 0, 4)
    shape = tuple(b.value(x).shape)
    others = [b.like(shape) for _ in range(int(b.random.integers(0, 3)))]
    axis = axis_of(b, x) if name == "concatenate" else int(b.random.integers(-len(shape) - 1, len(shape) + 1))
    if name == "concatenate" and b.chance(0.4):
        longer = list(shape)
        longer[axis] = int(b.random.integers(0, 4))
        others.append(b.leaf(tuple(longer), b.reference.dtype(b.value(x))))
    operands = [x, *others]
    b.call(name, *(operands[i] for i in b.random.permutation(len(operands))), axis=axis)


@draws("split")
def draw_split(b: Builder, name: str) -> None:
    x = b.floating(1, 4)
    axis = axis_of(b, x)
    size = b.value(x).shape[axis]
    if b.chance(0.5):
        count = b.choose([n for n in range(1, 4) if size % n == 0])
        b.call(name, x, results=count, indices_or_sections=count, axis=axis)
    else:
        cuts = sorted(int(c) for c in b.random.integers(0, size + 1, int(b.random.integers(1, 3))))
        b.call(name, x, results=len(cuts) + 1, indices_or_sections=cuts, axis=axis)


@draws("cast")
def draw_cast(b: Builder, name: str) -> None:
    dtypes = ["float64", "float32", "float16"]
    if b.style == "smooth":
        dtypes += ["int64", "int32", "bool"]
    b.call(name, sometimes_integers(b), dtype=b.choose(dtypes))


@draws("to")
def draw_to(b: Builder, name: str) -> None:
    b.call(name, b.floating(), device="cpu")


@draws("detach")
def draw_detach(b: Builder, name: str) -> None:
    b.call(name, b.floating())


@draws("get_item")
def draw_get_item(b: Builder, name: str) -> None:
    x = sometimes_integers(b)
    shape = tuple(b.value(x).shape)
    mask = b.existing(lambda v: tuple(v.shape) == shape and v.ndim > 0, kinds="b")
    if mask is not None and b.chance(0.5):
        index: Any = mask if b.chance(0.5) else b.array(mask).copy()
    elif len(shape) >= 1 and b.chance(0.3):
        index = with_arrays(b, shape)
    else:
        parts = [basic_part(b, n) for n in shape[: int(b.random.integers(len(shape) + 1))]]
        if b.chance(0.3):
            parts.insert(int(b.random.integers(len(parts) + 1)), None)
        if b.chance(0.3):
            parts.append(Ellipsis)
        index = parts[0] if len(parts) == 1 and b.chance(0.5) else tuple(parts)
    b.call(name, x, index=index, form=form(b))
    if not is_surely_a_view(index):
        b.frozen |= {b.memory(x), b.memory(Ref(b.steps[-1].names[0]))}


def basic_part(b: Builder, size: int) -> Any:
    """Return an integer, or a slice with any step."""
    if size and b.chance(0.25):
        return int(b.random.integers(-size, size))
    bounds = [None, *range(-size - 1, size + 2)]
    step = b.choose([None, None, 1, 2, -1, -2])
    return slice(b.choose(bounds), b.choose(bounds), step)


def with_arrays(b: Builder, shape: tuple[int, ...]) -> Any:
    """Return an index with one or two arrays of integers, which may repeat."""
    if shape[0] == 0:
        raise Unfit
    length = int(b.random.integers(0, 5))
    rows = b.random.integers(-shape[0], shape[0], length)
    if len(shape) == 1 or b.chance(0.4):
        return rows if b.chance(0.6) else rows.tolist()
    if shape[-1] and b.chance(0.5):
        return (rows, ..., b.random.integers(0, shape[-1], b.choose([length, 1])))
    return (rows, slice(None, None, b.choose([None, -1])))


def is_surely_a_view(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None or part is Ellipsis or (isinstance(part, slice) and (part.step or 1) > 0) or type(part) is int
        for part in parts
    )


# --- Layers -----------------------------------------------------------------------------------------------------


@draws("matmul")
def draw_matmul(b: Builder, name: str) -> None:
    x = b.floating(1, 4)
    *lead, k = b.value(x).shape
    columns = () if b.chance(0.3) else (int(b.random.integers(0, 5)),)
    stack = tuple(1 if b.chance(0.3) else n for n in lead[:-1]) if columns and b.chance(0.5) else ()
    other = b.leaf((*stack, k, *columns), b.reference.dtype(b.value(x)))
    b.call(name, x, other, form=form(b))


@draws("linear")
def draw_linear(b: Builder, name: str) -> None:
    x = b.floating(1, 4)
    dtype = b.reference.dtype(b.value(x))
    outputs = int(b.random.integers(0, 5))
    bias = b.leaf((outputs,), dtype) if b.chance(0.6) else None
    b.call(name, x, b.leaf((outputs, b.value(x).shape[-1]), dtype), bias)


def window(b: Builder, least: int, most: int) -> Any:
    """Return one size, or a pair."""
    drawn = [int(n) for n in b.random.integers(least, most + 1, 2)]
    return drawn[0] if b.chance(0.5) else tuple(drawn)


@draws("conv2d", "conv2d_affine")
def draw_conv2d(b: Builder, name: str) -> None:
    x = b.images()
    channels = b.value(x).shape[1]
    groups = b.choose([g for g in (1, channels, 2, 3) if channels % g == 0])
    outputs = groups * int(b.random.integers(1, 4))
    kernel = b.random.integers(1, 4, 2).tolist()
    dtype = b.reference.dtype(b.value(x))
    weight = b.leaf((outputs, channels // groups, *kernel), dtype)
    settings = {"stride": window(b, 1, 3), "padding": window(b, 0, 2), "dilation": window(b, 1, 2), "groups": groups}
    if name == "conv2d_affine":
        scale, bias = b.leaf((outputs,), dtype), b.leaf((outputs,), dtype)
        b.call(name, x, weight, scale, bias, relu=b.chance(0.5), **settings)
    else:
        bias = b.leaf((outputs,), dtype) if b.chance(0.5) else None
        b.call(name, x, weight, bias, **settings)


@draws("max_pool2d", "avg_pool2d")
def draw_pool(b: Builder, name: str) -> None:
    kernel = window(b, 1, 3)
    settings: dict[str, Any] = {"kernel_size": kernel, "stride": b.choose([None, window(b, 1, 3)])}
    settings["padding"] = b.choose([0, 0, min(np.atleast_1d(kernel)) // 2])
    settings["padding"] = int(settings["padding"])
    if name == "max_pool2d":
        settings["ceil_mode"] = b.chance(0.4)
    elif b.chance(0.4):
        settings["count_include_pad"] = False
    b.call(name, b.images(), **settings)


@draws("interpolate")
def draw_interpolate(b: Builder, name: str) -> None:
    b.call(name, b.images(), size=b.random.integers(1, 7, 2).tolist())


@draws("global_avg_pool2d")
def draw_global_pool(b: Builder, name: str) -> None:
    b.call(name, b.images())


@draws("batch_norm")
def draw_batch_norm(b: Builder, name: str) -> None:
    x = b.floating(2, 4, lambda v: v.shape[1] > 0 and v.numel() >= 4 * v.shape[1])
    channels, dtype = (b.value(x).shape[1],), b.reference.dtype(b.value(x))
    weight, bias = (b.leaf(channels, dtype, is_special=False) for _ in range(2))
    mean, var = (b.floats(channels, True, is_special=False).astype(dtype) for _ in range(2))
    settings = {"training": b.chance(0.6), "momentum": b.choose([0.1, 0.05]), "eps": b.choose([1e-5, 0.1])}
    relu = {"relu": True} if b.chance(0.4) else {}
    b.call(name, x, weight, bias, mean, var, results=3, **settings, **relu)


@draws("axpy", "channel_scale")
def draw_axpy(b: Builder, name: str) -> None:
    x = b.floating(4, 4)
    n, c, *_ = b.value(x).shape
    scale = b.like((n, c) if b.chance(0.5) else (n, c, 1, 1))
    b.call(name, scale, x, *([b.like(b.value(x).shape)] if name == "axpy" else []))


@draws("channel_dot")
def draw_channel_dot(b: Builder, name: str) -> None:
    x = b.floating(4, 4)
    b.call(name, x, b.like(b.value(x).shape))


@draws("select")
def draw_select(b: Builder, name: str) -> None:
    x = b.floating(4, 4)
    n, c, *_ = b.value(x).shape
    branches = [x, *(b.like(b.value(x).shape) for _ in range(int(b.random.integers(0, 4))))]
    b.call(name, b.like((n, len(branches), c)), *branches, results=2)
