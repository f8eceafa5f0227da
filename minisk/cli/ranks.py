"""A command on several processes: one of them speaks, and a process that fails ends all."""

import argparse
import contextlib
import logging
import os
from collections.abc import Callable, Iterator

from ..distributed import EndedByPeer, Group, join
from .process import run_command

log = logging.getLogger("minisk")


def run_on_ranks(
    name: str, parse: Callable[[], argparse.Namespace], work: Callable[[argparse.Namespace, Group], int]
) -> int:
    """Run a command on all processes that a launcher started, and return its exit status, as `run_command` does.

    If work returns, or every rank fails alike, the ranks leave the group together. Any other end of a process makes the
    launcher end the others, because MPI is not left.

    Args:
        name: stands before the error message.
        parse: returns the arguments; rank 0 alone prints help or a usage error.
        work: does everything else.
    """
    joined: list[Group] = []
    status = run_command(name, lambda: joined.append(join()))
    if not joined:
        return status
    (group,) = joined
    _name_rank(group)

    def run() -> int:
        try:
            with _quiet(group):
                arguments = parse()
        except SystemExit as end:
            group.close()
            raise SystemExit(end.code) from None
        try:
            status = work(arguments, group)
        except EndedByPeer:
            status = 1
        group.close()
        return status

    return run_command(name if group.size == 1 else f"{name}: rank {group.rank}", run)


@contextlib.contextmanager
def _quiet(group: Group) -> Iterator[None]:
    """Print nothing inside the block, except on rank 0."""
    if group.rank == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def _name_rank(group: Group) -> None:
    """Begin the lines of minisk's log with the rank, on every rank except 0."""
    if group.rank > 0:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(f"rank {group.rank}: %(message)s"))
        log.addHandler(handler)
        log.propagate = False
