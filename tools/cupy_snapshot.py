"""Write down the public interface of the CuPy that is installed: what the tests' stand-in for it is held to.

    pip install cupy-cuda13x
    python tools/cupy_snapshot.py > tests/cupy_standin/api.json

Needs no GPU: signatures can be read without a driver, views work on an array laid over host memory, and many errors are
raised before a driver is looked for. What needs one (anything computed) is not recorded.
"""

from __future__ import annotations

import inspect
import json
import re
import warnings
from collections.abc import Callable
from typing import Any

import cupy
import cupyx
import numpy as np
from cupy._core._scalar import CScalar

MODULES: dict[str, Any] = {
    "cupy": cupy,
    "cupy.linalg": cupy.linalg,
    "cupyx": cupyx,
    "cupy.random": cupy.random,
    "cupy.random.Generator": cupy.random.Generator,
    "cupy.lib.stride_tricks": cupy.lib.stride_tricks,
    "cupy.ndarray": cupy.ndarray,
    "cupy.cuda": cupy.cuda,
    "cupy.cuda.Device": cupy.cuda.Device,
    "cupy.cuda.Event": cupy.cuda.Event,
    "cupy.cuda.Stream": cupy.cuda.Stream,
    "cupy.cuda.runtime": cupy.cuda.runtime,
    "cupy.RawModule": cupy.RawModule,
}

# Evaluated here, on x of shape (2, 3, 4), float32, laid over host memory, and then by the tests on the stand-in: the
# error, or what was returned. `scalar` is what every argument that is not a CuPy array goes through.
PROBES = [
    "np.asarray(x)",
    "x.item(0)",
    "x.item()",
    "bool(x)",
    "hash(x)",
    "x.ctypes",
    "x.itemset",
    "x.newbyteorder",
    "x[5]",
    "x[0, 0, 0, 0]",
    "x.reshape(5, 5)",
    "x.reshape((6, -1)).shape",
    "x.sum(axis=7)",
    "range(x)",
    "x.__setitem__(0, np.ones(4, np.float32))",
    "x.__setitem__(..., [1, 2, 3, 4])",
    "scalar(np.ones(3))",
    "scalar(np.array(1.0))",
    "scalar(None)",
    "scalar([1])",
    "scalar('a')",
    "x @ np.ones((4, 2), np.float32)",
    "cp.matmul(x, np.ones((4, 2)))",
    "cp.tensordot(x, np.ones((4, 2)), 1)",
    "cp.vdot(x, np.ones(24))",
    "x.dot(np.ones((4, 2)))",
    "cp.broadcast_to(np.ones(3), (2, 3))",
    "cp.ascontiguousarray(np.ones(3))",
    "cp.stack([x, np.ones((2, 3, 4))])",
    "cp.copyto(x, np.ones((2, 3, 4)))",
    "cp.where(True, x, x)",
    "cp.RawModule(code='', options=['-a'])",
    "cp.sum(x, axes=0)",
    "cp.zeros(2, like=x)",
    "cp.concatenate(arrays=[x])",
    "cp.float_power",
    "cp.errstate",
    "cp.scatter_add",
    "cp.cudnn",
    "cp.isscalar(x)",
    "isinstance(x, np.ndarray)",
    "x.base is None",
    "x[0].base is x",
    "x[0][0].base is x",
    "x.view().base is x",
    "x.view() is x",
    "x[...] is x",
    "x.reshape(24).base is x",
    "x.T.base is x",
    "x.astype('f', copy=False) is x",
    "cp.ascontiguousarray(x) is x",
    "cp.broadcast_to(x, (5, 2, 3, 4)).strides",
    "x.T.flags.c_contiguous",
    "x.T.flags.f_contiguous",
    "x[..., None].shape",
    "x[::2, 1:, -1].shape",
    "x[np.int64(0)].shape",
    "len(x)",
    "type(x.shape)",
    "x.dtype.char",
    "x.swapaxes(0, 1).shape",
    "x.transpose(2, 0, 1).shape",
    "x.nbytes",
    "x.strides",
    "x[0, 0, 0].shape",
    "np.shape(x)",
    "np.ndim(x)",
    "cp.expand_dims(x, 0).shape",
    "x.real.shape",
    "x.mT.shape",
    "x[:, 1].reshape(2, 2, 2).base is x",
    "x.transpose(1, 0, 2).reshape(3, 2, 2, 2).base is x",
]


def names_of(owner: Any) -> dict[str, str | None]:
    """Return every public name with the arguments it takes, or None if it can't be called or has no signature."""
    found: dict[str, str | None] = {}
    for name in sorted(dir(owner)):
        thing = inspect.getattr_static(owner, name, None) if isinstance(owner, type) else getattr(owner, name)
        is_operator = isinstance(owner, type) and re.fullmatch(r"__\w+__", name)
        if (name.startswith("_") and not is_operator) or name in dir(object) or inspect.ismodule(thing):
            continue
        found[name] = "ufunc" if isinstance(thing, cupy.ufunc) else _arguments(thing) if callable(thing) else None
    return found


def _arguments(thing: Any) -> str | None:
    try:
        text = str(inspect.signature(thing)).partition(" -> ")[0]
    except (TypeError, ValueError):  # Cython writes them into the first line of the docstring
        match = re.match(r"[\w.]+(\(.*?\))(\s*->.*)?$", (thing.__doc__ or "").partition("\n")[0])
        text = match[1] if match else ""
    plain = re.sub(r"<[^>]*>|\[[^]]*\]|\([^)]*\)", "...", text[1:-1])  # defaults may hold commas
    return ", ".join(_parameter(part) for part in plain.split(",") if part.strip()) if text else None


def _parameter(text: str) -> str:
    """Reduce a declaration, Python's or Cython's, to the name, its stars, and `=...` if it has a default."""
    declaration, has_default, _ = text.partition("=")
    name = declaration.partition(":")[0].split()[-1]
    return name + "=..." * bool(has_default)


def outcome(expression: str, values: dict[str, Any]) -> list[str] | None:
    """Evaluate: ["value", repr], or the error's class and text; None for what only a driver could answer."""
    try:
        return ["value", repr(eval(expression, dict(values)))]
    except Exception as error:
        name = type(error).__name__
        return None if name == "CUDARuntimeError" else [name, str(error)]


def host_array() -> Any:
    """Lay a CuPy array over host memory."""
    memory = np.arange(24, dtype=np.float32)
    pointer = cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(memory.ctypes.data, memory.nbytes, memory, 0), 0)
    return cupy.ndarray((2, 3, 4), np.float32, pointer)


def main() -> None:
    warnings.simplefilter("ignore")
    scalar: Callable[[Any], Any] = CScalar
    values = {"cp": cupy, "np": np, "x": host_array(), "scalar": scalar}
    snapshot = {
        "version": cupy.__version__,
        "names": {name: names_of(owner) for name, owner in MODULES.items()},
        "outcomes": {expression: outcome(expression, values) for expression in PROBES},
    }
    print(json.dumps(snapshot, indent=0, sort_keys=True, ensure_ascii=False))


if __name__ == "__main__":
    main()
