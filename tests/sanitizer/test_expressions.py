"""The arithmetic of `check:` lines: values, precedence, and an error for everything else."""

from __future__ import annotations

import math

import pytest

from minisk.sanitizer import ExpressionError
from minisk.sanitizer.expressions import parse_number, parse_numbers, parse_sizes

NAMES = {"n": 50, "spatial": 904, "eps": 0.1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("0.1", 0.1),
        (".5", 0.5),
        ("2e3", 2000.0),
        ("-3", -3),
        ("n", 50),
        ("7*spatial", 6328),
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("20 - 3 - 4", 13),
        ("n//7//2", 3),
        ("n/7/2", 3),
        ("-7/2", -3),
        ("1/4.0", 0.25),
        ("-n*2 + 1", -99),
        ("2*-(n - 48)", -4),
        ("((n))", 50),
        ("eps*2", 0.2),
    ],
)
def test_an_expression_has_the_value_it_has_in_python(text: str, value: float) -> None:
    assert parse_number(text, NAMES) == value
    assert type(parse_number(text, NAMES)) is type(value)


def test_a_number_too_large_for_a_float_is_infinite() -> None:
    assert parse_number("-1e999", {}) == -math.inf


def test_a_list_has_a_value_for_each_expression() -> None:
    assert parse_numbers("4,3*n,-1,0.5", NAMES) == [4, 150, -1, 0.5]


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("2, 32", ((2,), (32,), 0)),
        ("(6, 3), 64", ((6, 3), (64,), 0)),
        ("8, 32, 416*real", ((8,), (32,), 1664)),
        ("(2, 2, 1), (32, 8), 64 + 2*real", ((2, 2, 1), (32, 8), 72)),
    ],
)
def test_sizes_are_grid_block_and_bytes_of_shared_memory(text: str, sizes: tuple) -> None:
    assert parse_sizes(text, {"real": 4}) == sizes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not an expression"),
        ("2 +", "'2 +' is not an expression"),
        ("n n", "'n n' is not an expression"),
        ("(n", "'(n' is not an expression"),
        ("(n]", "'(n]' is not an expression"),
        ("m", "the name 'm' has no value here; known names: n, spatial, eps"),
        ("n // (n - 50)", "'n // (n - 50)' divides by zero"),
        ("n / (n - 50)", "'n / (n - 50)' divides by zero"),
        ("n % 2", "'n % 2' is not a number, a name, or a sum or product of them"),
        ("2**3", "'2 ** 3' is not a number"),
        ("1, 2", "'(1, 2)' is not a number"),
        ("n.real", "'n.real' is not a number"),
        ("'5'", "is not a number"),
        ("True", "'True' is not a number"),
        ("__import__('os')", "is not a number"),
        ("2 + len(n)", "'len(n)' is not a number"),
        ("[i for i in n]", "is not a number"),
    ],
)
def test_an_error_quotes_the_expression(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        parse_number(text, NAMES)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2", "'2' must be grid, block and, optionally, bytes of dynamic shared memory"),
        ("2, 32, 4, 5", "'2, 32, 4, 5' must be grid, block"),
        ("2 64", "'2 64' is not an expression"),
        ("2, 0.5", "'0.5' is 0.5, expected an integer"),
        ("2, (32, (1, 2))", "'(1, 2)' is not a number"),
    ],
)
def test_an_error_in_sizes_quotes_them(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        parse_sizes(text, {})
    assert message in str(raised.value)
