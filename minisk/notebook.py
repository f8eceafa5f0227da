"""HTML of Tensors and modules, which notebooks show instead of the text of `repr`.

`Tensor._repr_html_` and `Module._repr_html_` call these functions. All text is escaped: a name may come from a file.
"""

from html import escape
from typing import Any

import numpy as np

from .backend import Array, to_device

EDGE = 4  # rows and columns shown at each end of a long axis
_MONOSPACE = 'style="font-family: monospace"'


def tensor_html(tensor: Any) -> str:
    """Return a line with shape, dtype, device and origin, and the numbers: as a table for one or two axes.

    Of long axes, the first and last elements are shown.
    """
    facts = [f"Tensor {tensor.shape}", str(tensor.dtype), tensor.device]
    if tensor.node is not None:
        facts.append(f"grad_fn={tensor.node.operation}")
    elif tensor.requires_grad:
        facts.append("requires_grad=True")
    values = to_device(tensor.data, "cpu")
    if values.ndim in (1, 2) and values.size > 0:
        numbers = _table(np.atleast_2d(values), with_rows=values.ndim == 2)
    else:
        text = np.array2string(values, separator=", ", threshold=50, edgeitems=2, precision=4)
        numbers = f"<pre>{escape(text)}</pre>"
    return f"<div><div {_MONOSPACE}>{escape(', '.join(facts))}</div>{numbers}</div>"


def _table(values: Array, with_rows: bool) -> str:
    """Return an HTML table of a matrix, with the numbers of its columns, and of its rows if there are several."""
    rows, columns = (_shown(size) for size in values.shape)
    corner = ["<th></th>"] if with_rows else []
    lines = ["".join(corner + [f"<th>{_cell(column)}</th>" for column in columns])]
    for row in rows:
        name = [f"<th>{_cell(row)}</th>"] if with_rows else []
        is_gap = row is None
        numbers = ["⋮" if is_gap else "…" if c is None else _cell(values[row, c]) for c in columns]
        lines.append("".join(name + [f"<td>{number}</td>" for number in numbers]))
    content = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table {_MONOSPACE}>{content}</table>"


def _shown(size: int) -> list[int | None]:
    """Return the positions on an axis that are shown; None stands for a gap."""
    if size <= 2 * EDGE + 1:
        return list(range(size))
    return [*range(EDGE), None, *range(size - EDGE, size)]


def _cell(value: Any) -> str:
    """Return one number as text, with four significant digits if it is floating."""
    if value is None:
        return "…"
    return f"{value:.4g}" if isinstance(value, np.floating) else str(value)


def module_html(module: Any) -> str:
    """Return the tree of modules, which opens and closes at each one, with settings and numbers of parameters."""
    return f"<div {_MONOSPACE}>{_branch('', module, is_open=True)}</div>"


def _branch(name: str, module: Any, is_open: bool = False) -> str:
    label = f"{name}: " if name else ""
    count = sum(parameter.size for parameter in module.parameters())
    noun = "parameter" if count == 1 else "parameters"
    text = escape(f"{label}{type(module).__name__}({module.extra_repr()})")
    line = f"{text} <small>{count:,} {noun}</small>" if count else text
    below = [_branch(child_name, child) for child_name, child in module.named_children()]
    if not below:
        return f'<div style="margin-left: 2em">{line}</div>'
    opened = " open" if is_open else ""
    return f'<details{opened} style="margin-left: 1em"><summary>{line}</summary>{"".join(below)}</details>'
