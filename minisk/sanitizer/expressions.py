"""The arithmetic of `check:` lines: integers and floats, names, + - * / and parentheses, lists and tuples of them.

Python's parser reads the text; only these nodes of its syntax tree are evaluated. As in C++, / of two integers is an
integer without the remainder.
"""

import ast
import operator
from collections.abc import Mapping
from typing import TypeAlias

Number: TypeAlias = int | float
Names: TypeAlias = Mapping[str, Number]


def _divide(left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int):
        return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
    return left / right


_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _divide,
    ast.FloorDiv: operator.floordiv,
}


class ExpressionError(ValueError):
    """An expression that cannot be evaluated; the message quotes it."""


def parse_numbers(text: str, names: Names) -> list[Number]:
    """Return the numbers of a list such as "4,3*n,-1e999". names: the values of the names that may occur."""
    return [_evaluate(node, names) for node in _items(_parse(text))]


def parse_number(text: str, names: Names) -> Number:
    """Return the value of an expression such as "3*n+1"."""
    return _evaluate(_parse(text), names)


def parse_sizes(text: str, names: Names) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Return grid, block and bytes of dynamic shared memory of a text such as "(6, 3), 64, 32*real"."""
    parts = _items(_parse(text))
    if len(parts) not in (2, 3):
        raise ExpressionError(f"{text!r} must be grid, block and, optionally, bytes of dynamic shared memory")
    grid, block = (tuple(_integer(node, names) for node in _items(part)) for part in parts[:2])
    return grid, block, _integer(parts[2], names) if len(parts) == 3 else 0


def _parse(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(f"{text!r} is not an expression: {error.msg}") from error


def _items(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _evaluate(node: ast.expr, names: Names) -> Number:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value  # type: ignore[return-value]
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise ExpressionError(f"the name {node.id!r} has no value here; known names: {', '.join(names) or 'none'}")
        return names[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand, names)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _evaluate(node.left, names), _evaluate(node.right, names)
        if isinstance(node.op, ast.Div | ast.FloorDiv) and right == 0:
            raise ExpressionError(f"{ast.unparse(node)!r} divides by zero")
        return _OPERATORS[type(node.op)](left, right)
    raise ExpressionError(f"{ast.unparse(node)!r} is not a number, a name, or a sum or product of them")


def _integer(node: ast.expr, names: Names) -> int:
    value = _evaluate(node, names)
    if not isinstance(value, int):
        raise ExpressionError(f"{ast.unparse(node)!r} is {value}, expected an integer")
    return value
