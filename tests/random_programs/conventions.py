"""minisk's conventions where PyTorch has others: dtypes of results, refused calls, operands returned as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from kinks import COMPARISONS

# Operations that expect Tensors of one floating dtype.
STRICT = {"add_relu", "avg_pool2d", "axpy", "batch_norm", "channel_dot", "channel_scale", "conv2d", "cross_entropy"}
STRICT |= {"conv2d_affine", "dropout", "global_avg_pool2d", "interpolate", "linear", "max_pool2d", "select"}
LOGICAL = {"logical_and", "logical_or", "logical_not"}
# Operations that compute integers in float32.
FLOATING = {"abs", "clip", "div", "exp", "log", "log_softmax", "mean", "relu", "sigmoid", "softmax", "sqrt", "tanh"}
FLOATING |= {"var"}
MOVING = {"broadcast_to", "concatenate", "detach", "expand_dims", "get_item", "pad", "reshape", "split", "squeeze"}
MOVING |= {"stack", "to", "transpose"}
VIEWS = MOVING - {"concatenate", "pad", "stack"} | {"cast", "sum_to"}
# Operations that do not round: noise before them could only break ties.
EXACT = (
    MOVING
    | COMPARISONS
    | LOGICAL
    | {"abs", "argmax", "clip", "max", "maximum", "min", "minimum", "neg", "relu", "where"}
)
EXACT |= {"max_pool2d"}
# Operations with another gradient at NaN in PyTorch: 0 of abs, NaN for every operand of amax and amin, and that of the
# last NaN in a window of max_pool2d. minisk: NaN; the NaNs share the gradient; the first NaN gets it.
OTHER_AT_NAN = {"abs", "max", "max_pool2d", "min"}

Shapes = list[tuple[int, ...]]


class ConventionError(Exception):
    """minisk refuses by its documented conventions what PyTorch computes."""


def result_dtype(operation: str, inputs: Sequence[Any]) -> str:
    """Return the floating dtype that minisk's rules give a result. Raises ConventionError for two floating dtypes."""
    tensors = [x for x in inputs if isinstance(x, torch.Tensor)]
    if operation == "where":
        tensors = [x for x in inputs[1:] if isinstance(x, torch.Tensor)]
    if operation == "batch_norm":
        inputs = inputs[:3]
    dtypes = {x.minisk_dtype for x in tensors}
    floats = {dtype for dtype in dtypes if np.dtype(dtype).kind == "f"}
    if len(floats) > 1:
        raise ConventionError(f"two floating dtypes: {floats}")
    if operation in STRICT and (len(dtypes) > 1 or not floats or len(tensors) < sum(x is not None for x in inputs)):
        raise ConventionError(f"{operation} expects Tensors of one floating dtype")
    if operation in ("concatenate", "stack") and len(dtypes) > 1:
        raise ConventionError(f"{operation} expects one dtype")
    if operation in LOGICAL and dtypes != {"bool"}:
        raise ConventionError(f"{operation} expects bools")
    return floats.pop() if floats else "float32"


def returns_itself(operation: str, x: Any, settings: dict[str, Any]) -> bool:
    """Return whether minisk returns the operand itself, not a new Tensor."""
    if operation in ("sum_to", "broadcast_to"):
        return tuple(x.shape) == tuple(settings["shape"])
    if operation == "cast":
        return np.dtype(settings["dtype"]) == x.minisk_dtype
    return operation == "to" or (operation == "dropout" and settings["p"] == 0)


def refuse(operation: str, inputs: Sequence[Any], settings: dict[str, Any]) -> None:
    """Raise ConventionError for what minisk refuses on purpose, although PyTorch returns NaN or nothing."""
    is_refused = REFUSED.get(operation)
    shapes = [tuple(x.shape) for x in inputs if isinstance(x, torch.Tensor)]
    if is_refused is not None and is_refused(shapes, settings):
        raise ConventionError(f"{operation} of shapes {shapes} with {settings}")


def has_too_few_values(shapes: Shapes, settings: dict[str, Any]) -> bool:
    axis = settings.get("axis")
    axes = range(len(shapes[0])) if axis is None else np.atleast_1d(axis)
    return int(np.prod([shapes[0][a] for a in axes])) <= max(0, settings.get("ddof", 0))


def has_no_axis(shapes: Shapes, settings: dict[str, Any]) -> bool:
    return not shapes[0] and settings.get("axis") is not None


def has_empty_axis(shapes: Shapes, settings: dict[str, Any]) -> bool:
    return not shapes[0] or shapes[0][settings["axis"]] == 0


def is_empty(shapes: Shapes, settings: dict[str, Any]) -> bool:
    return any(0 in shape for shape in shapes)


def is_no_image_with_pixels(shapes: Shapes, settings: dict[str, Any]) -> bool:
    return is_no_image(shapes, settings) or 0 in shapes[0][2:]


def is_no_image(shapes: Shapes, settings: dict[str, Any]) -> bool:
    return len(shapes[0]) != 4


def is_no_scale(shapes: Shapes, settings: dict[str, Any]) -> bool:
    scale, *images = shapes
    n_and_c = images[0][:2]
    return len(set(images)) > 1 or is_no_image(images, {}) or scale not in (n_and_c, (*n_and_c, 1, 1))


def divides_unequally(shapes: Shapes, settings: dict[str, Any]) -> bool:
    sections = settings["indices_or_sections"]
    return isinstance(sections, int) and (sections < 1 or shapes[0][settings["axis"]] % sections != 0)


def cannot_join(shapes: Shapes, settings: dict[str, Any]) -> bool:
    """Return whether axes differ; PyTorch ignores operands of shape (0,)."""
    ranks = {len(shape) for shape in shapes}
    return len(ranks) > 1 or not -len(shapes[0]) <= settings["axis"] < len(shapes[0])


REFUSED: dict[str, Callable[[Shapes, dict[str, Any]], bool]] = {
    **dict.fromkeys(
        ("mean", "var", "max", "min", "argmax"), lambda s, how: has_no_axis(s, how) or has_too_few_values(s, how)
    ),
    "sum": has_no_axis,
    **dict.fromkeys(("softmax", "log_softmax"), has_empty_axis),
    "conv2d": is_empty,
    "conv2d_affine": lambda s, how: is_empty(s, how) or any(shape != s[1][:1] for shape in s[2:]),
    "cross_entropy": lambda s, how: is_empty(s, how) or len(s[0]) != 2,
    **dict.fromkeys(("avg_pool2d", "interpolate", "max_pool2d", "global_avg_pool2d"), is_no_image_with_pixels),
    **dict.fromkeys(("axpy", "channel_scale"), is_no_scale),
    "add_relu": lambda s, how: len(set(s)) > 1,
    "batch_norm": lambda s, how: any(shape != s[0][1:2] for shape in s[1:]),
    "channel_dot": lambda s, how: len(set(s)) > 1 or is_no_image(s, how),
    "clip": lambda s, how: None not in how.values() and how["min"] > how["max"],
    "concatenate": cannot_join,
    "linear": lambda s, how: len(s[1]) != 2 or any(bias != s[1][:1] for bias in s[2:]),
    "select": lambda s, how: is_no_image(s[1:], how) or s[0] != (s[1][0], len(s) - 1, s[1][1]) or len(set(s[1:])) > 1,
    "split": divides_unequally,
    "squeeze": lambda s, how: how["axis"] is not None and s[0][how["axis"]] != 1,
}
