"""Makes a failing program shorter: leaves out one step, output or inner value at a time, as long as it still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from steps import Program


def shrink(program: Program, fails: Callable[[Program], bool]) -> Program:
    """Return a part of the program that fails and in which nothing more can be left out singly."""
    shorter: Program | None = program
    while shorter is not None:
        program = shorter
        shorter = next((part for part in parts(program) if fails(part)), None)
    return program


def parts(program: Program) -> Iterator[Program]:
    """Yield the program without each of its steps, the last first; then without each output and inner value."""
    for index in reversed(range(len(program.steps))):
        yield program.without(index)
    for name in program.outputs if len(program.outputs) > 1 else ():
        yield replace(program, outputs=tuple(n for n in program.outputs if n != name))
    for name in program.inner:
        yield replace(program, inner=tuple(n for n in program.inner if n != name))
