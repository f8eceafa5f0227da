"""Forged JSON: every value of a valid description replaced by values that do not belong there."""

import copy
import math

NESTED = "nested without end"  # stands for 100,000 brackets, which json.dumps cannot write
VALUES = (None, True, -1, 0, 10**400, 1e300, math.nan, -math.inf, "", "\x1b[2J" + "x" * 5000, [], {}, [[1]], {"a": 0})


def mutations(tree):
    """Yield (path, copy of the tree) for each value of a JSON tree and each way to forge it, or to leave it out."""
    for path in _paths(tree):
        for value in VALUES:
            yield f"{'.'.join(map(str, path))} = {str(value)[:20]}", _changed(tree, path, value)
        yield f"{'.'.join(map(str, path))} left out", _changed(tree, path, None, remove=True)
        yield f"{'.'.join(map(str, path))} {NESTED}", _changed(tree, path, NESTED)


def text_of(tree, dumps):
    """Return the JSON text of a mutation; dumps: json.dumps."""
    return dumps(tree).replace(f'"{NESTED}"', "[" * 100_000)


def _paths(tree, path=()):
    if isinstance(tree, dict | list):
        for key in tree if isinstance(tree, dict) else range(len(tree)):
            yield (*path, key)
            yield from _paths(tree[key], (*path, key))


def _changed(tree, path, value, remove=False):
    forged = copy.deepcopy(tree)
    parent = forged
    for key in path[:-1]:
        parent = parent[key]
    if remove:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return forged
