"""The C structures that Python and a built kernel library exchange, field by field as the headers declare them.

A test parses the headers and compares names, types and order.
"""

import ctypes
from typing import Any, TypeVar

# enum minisk_kind of include/findings.h and enum minisk_access of include/shadow.h, in their order.
KINDS = (
    "out_of_bounds",
    "misaligned",
    "race",
    "uninitialised",
    "read_only",
    "undefined_behaviour",
    "synchronisation",
    "same_value",
)
ACCESSES = ("read", "write", "atomic")


class MiniskLaunch(ctypes.Structure):
    """`struct minisk_launch` of include/launch.h: one launch, and the message if it failed."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("dynamic_shared", ctypes.c_uint),
        ("schedule", ctypes.c_int),
        ("seed", ctypes.c_uint),
        ("error", ctypes.c_char * 512),
        ("address", ctypes.c_uint64),
        ("access", ctypes.c_uint64),
    )


class MiniskAccessor(ctypes.Structure):
    """`struct minisk_accessor` of include/findings.h: which thread accessed memory, and where in the code."""

    _fields_ = (
        ("address", ctypes.c_uint64),
        ("caller", ctypes.c_uint64),
        ("block", ctypes.c_uint * 3),
        ("thread", ctypes.c_uint * 3),
        ("access", ctypes.c_int),
    )


class MiniskFinding(ctypes.Structure):
    """`struct minisk_finding` of include/findings.h: one mistake, by one or two accesses."""

    _fields_ = (
        ("kind", ctypes.c_int),
        ("is_hint", ctypes.c_int),
        ("array", ctypes.c_int),
        ("offset", ctypes.c_int64),
        ("bytes", ctypes.c_uint),
        ("count", ctypes.c_uint64),
        ("here", MiniskAccessor),
        ("other", MiniskAccessor),
        ("text", ctypes.c_char * 512),
    )


class MiniskSite(ctypes.Structure):
    """`struct minisk_site` of include/counters.h: one place in the code that accesses memory, and what it costs."""

    _fields_ = (
        ("address", ctypes.c_uint64),
        ("array", ctypes.c_int),
        ("access", ctypes.c_int),
        ("bytes", ctypes.c_uint),
        ("requests", ctypes.c_uint64),
        ("lanes", ctypes.c_uint64),
        ("transactions", ctypes.c_uint64),
        ("least_transactions", ctypes.c_uint64),
        ("block_bytes", ctypes.c_uint64),
        ("example", ctypes.c_int64 * 32),
    )


Record = TypeVar("Record", MiniskFinding, MiniskSite)


def fetch(function: Any, structure: type[Record]) -> list[Record]:
    """Call minisk_check_finding or minisk_check_site with index 0, 1, … until it returns 0; return the structures."""
    fetched: list[Record] = []
    while True:
        item = structure()
        if not function(len(fetched), ctypes.byref(item)):
            return fetched
        fetched.append(item)
