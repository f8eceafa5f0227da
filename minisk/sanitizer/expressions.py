"""The arithmetic of `check:` lines, where grids, lengths and values are written.

list    := sum { "," sum }
sum     := product { ("+" | "-") product }
product := atom { ("*" | "//") atom }
atom    := number | name | "-" atom | "(" sum ")"
sizes   := size "," size [ "," sum ]              grid, block, bytes of dynamic shared memory
size    := sum | "(" list ")"
"""

import re
from collections.abc import Mapping
from typing import TypeAlias

Number: TypeAlias = int | float
Names: TypeAlias = Mapping[str, Number]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<symbol>//|[-+*(),]))"
)


class ExpressionError(ValueError):
    """An expression that cannot be evaluated; the message quotes it."""


def parse_numbers(text: str, names: Names) -> list[Number]:
    """Return the numbers of a list such as "4,3*n,-1e999". names: the values of names that may occur."""
    parser = _Parser(text, names)
    numbers = parser.list()
    parser.end()
    return numbers


def parse_number(text: str, names: Names) -> Number:
    """Return the value of an expression such as "3*n + 1"."""
    numbers = parse_numbers(text, names)
    if len(numbers) != 1:
        raise ExpressionError(f"{text!r} has {len(numbers)} values, expected one")
    return numbers[0]


def parse_sizes(text: str, names: Names) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Return grid, block and bytes of dynamic shared memory of a text such as "(6, 3), 64, 32*real"."""
    parser = _Parser(text, names)
    grid = parser.size()
    parser.expect(",")
    block = parser.size()
    dynamic_shared = parser.integer() if parser.accept(",") else 0
    parser.end()
    return grid, block, dynamic_shared


class _Parser:
    """A recursive-descent parser, one method a rule."""

    def __init__(self, text: str, names: Names) -> None:
        self.text, self.names = text.strip(), names
        self.tokens: list[re.Match[str]] = []
        position = 0
        while position < len(self.text):
            token = _TOKEN.match(self.text, position)
            if token is None:
                raise ExpressionError(f"{self.text!r}: unexpected character {self.text[position:].lstrip()[0]!r}")
            self.tokens.append(token)
            position = token.end()
        self.position = 0

    def list(self) -> list[Number]:
        values = [self.sum()]
        while self.accept(","):
            values.append(self.sum())
        return values

    def sum(self) -> Number:
        value = self.product()
        while True:
            if self.accept("+"):
                value += self.product()
            elif self.accept("-"):
                value -= self.product()
            else:
                return value

    def product(self) -> Number:
        value = self.atom()
        while True:
            if self.accept("*"):
                value *= self.atom()
            elif self.accept("//"):
                divisor = self.atom()
                if divisor == 0:
                    raise ExpressionError(f"{self.text!r}: division by zero")
                value //= divisor
            else:
                return value

    def atom(self) -> Number:
        if self.accept("-"):
            return -self.atom()
        if self.accept("("):
            value = self.sum()
            self.expect(")")
            return value
        token = self.next_token("a number or a name")
        if token["number"]:
            return int(token["number"]) if token["number"].isdigit() else float(token["number"])
        if not token["name"]:
            raise ExpressionError(f"{self.text!r}: expected a number or a name, not {token['symbol']!r}")
        if token["name"] not in self.names:
            known = ", ".join(self.names) or "none"
            raise ExpressionError(f"{self.text!r}: the name {token['name']!r} has no value here; known names: {known}")
        return self.names[token["name"]]

    def size(self) -> tuple[int, ...]:
        if not self.accept("("):
            return (self.integer(),)
        sizes = [self.integer()]
        while self.accept(","):
            sizes.append(self.integer())
        self.expect(")")
        return tuple(sizes)

    def integer(self) -> int:
        value = self.sum()
        if not isinstance(value, int):
            raise ExpressionError(f"{self.text!r}: {value} is not an integer")
        return value

    def next_token(self, expected: str) -> re.Match[str]:
        if self.position == len(self.tokens):
            raise ExpressionError(f"{self.text!r} ends where {expected} is expected")
        self.position += 1
        return self.tokens[self.position - 1]

    def accept(self, symbol: str) -> bool:
        """Skip the symbol if it comes next; return whether it did."""
        found = self.position < len(self.tokens) and self.tokens[self.position]["symbol"] == symbol
        self.position += found
        return found

    def expect(self, symbol: str) -> None:
        token = self.next_token(repr(symbol))
        if token["symbol"] != symbol:
            raise ExpressionError(f"{self.text!r}: expected {symbol!r}, not {token[0].strip()!r}")

    def end(self) -> None:
        if self.position < len(self.tokens):
            raise ExpressionError(f"{self.text!r}: unexpected {self.tokens[self.position][0].strip()!r}")
