"""`cupy` and `cupyx` as modules: NumPy's functions on the stand-in's arrays, with CuPy's names and arguments only."""

from __future__ import annotations

import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .arrays import API, NAMES, POISON, Capsule, Device, bound, checked, ndarray, on_device, quiet, unwrap, wrap
from .kernels import RawModule
from .ledger import LEDGER

# Functions that take data from the host; functions that read only types and shapes; functions that wait.
FROM_HOST = {"array", "asarray", "asanyarray"}
ABOUT = {"result_type", "can_cast", "shape", "ndim", "size", "isscalar", "may_share_memory", "iscomplexobj"}
WAITING = {"nonzero", "argwhere", "flatnonzero", "unique", "extract"}


class Strict(types.ModuleType):
    """A module with the names of the real one, as far as the stand-in implements them."""

    def __init__(self, name: str, **contents: Any) -> None:
        super().__init__(name)
        assert not contents.keys() - NAMES[name].keys(), f"{name} has no {contents.keys() - NAMES[name].keys()}"
        self.__dict__.update(contents)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in NAMES[self.__name__]:
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        found = _adapted(self.__name__, name)
        self.__dict__[name] = found
        return found


def _adapted(module: str, name: str) -> Any:
    """Return CuPy's function of this name, made from NumPy's. Types and constants are NumPy's own."""
    path = module.partition(".")[2]
    owner = {"": np, "linalg": np.linalg, "lib.stride_tricks": np.lib.stride_tricks}.get(path)
    if not hasattr(owner, name):
        raise NotImplementedError(f"the stand-in for CuPy does not implement {module}.{name}")
    if NAMES[module][name] == "ufunc":
        return Ufunc(name)
    thing = getattr(owner, name)
    return _function(module, name, thing) if callable(thing) and not isinstance(thing, type) else thing


def _function(module: str, name: str, numpy_function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        bound(module, name, args, kwargs)
        sources = list(_flat([*args, *kwargs.values()]))
        if name in FROM_HOST:
            kwargs.pop("blocking", None)
            return _from_host(numpy_function, args, kwargs)
        if name not in ABOUT and any(isinstance(source, np.ndarray) for source in sources):
            raise TypeError(
                f"Argument '{name}' has incorrect type (expected cupy._core.core._ndarray_base, got numpy.ndarray)"
            )
        with quiet():
            result = wrap(numpy_function(*unwrap(args), **unwrap(kwargs)), *sources)
        if name in WAITING:
            LEDGER.synchronize()
        if on_device(result) and result.base is None and not any(result is source for source in sources):
            LEDGER.operations[name] += 1
        return result

    return call


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, tuple | list):
            yield from _flat(value)
        else:
            yield value


def _from_host(numpy_function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> ndarray:
    """Return an array on the device: the same one if it is there already, a copy if it comes from the host."""
    if on_device(args[0]):  # it may be on the other device
        copied = wrap(numpy_function(args[0]._host, *args[1:], **kwargs), args[0])
        LEDGER.operations["copy"] += copied is not args[0]
        return copied
    made = wrap(numpy_function(unwrap(args[0]), *args[1:], **kwargs).copy())
    if made.ndim:
        LEDGER.uploads += 1
    else:  # a scalar is an argument of a fill kernel, not a copy
        LEDGER.operations["fill"] += 1
    return made


class Ufunc:
    """`cupy.ufunc`: a function of each element."""

    def __init__(self, name: str) -> None:
        self.name, self.function = name, getattr(np, name)
        self.nin, self.nout = self.function.nin, self.function.nout

    def __repr__(self) -> str:
        return f"<ufunc 'cupy_{self.name}'>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs.keys() - {"out", "dtype", "casting"}:
            raise TypeError(f"Wrong arguments {kwargs}")
        outs = [*args[self.nin :], *([kwargs["out"]] if kwargs.get("out") is not None else [])]
        if not all(map(on_device, outs)):
            raise TypeError("Output arguments type must be cupy.ndarray")
        for arg in args[: self.nin]:
            checked(arg)
        LEDGER.operations[self.name] += 1
        with quiet():
            return wrap(self.function(*unwrap(args), **unwrap(kwargs)), *outs)

    def at(self, a: ndarray, indices: Any, b: Any = None) -> None:
        if self.name != "add":
            raise NotImplementedError(f"`cupy_{self.name}.at` is not supported yet")
        a.scatter_add(indices, b)


class Matmul(Ufunc):
    """`cupy.matmul`, which takes arrays only."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bound("cupy", "matmul", args, kwargs)
        for arg in args:
            if not on_device(arg):
                kind = f"{type(arg).__module__}.{type(arg).__name__}".removeprefix("builtins.")
                raise TypeError(f"Argument 'b' has incorrect type (expected cupy._core.core._ndarray_base, got {kind})")
        return super().__call__(*args, **kwargs)


class Generator:
    """`cupy.random.Generator`; it draws NumPy's numbers, not CuPy's."""

    def __init__(self, seed: Any) -> None:
        self._host = np.random.default_rng(seed)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name not in NAMES["cupy.random.Generator"]:
            raise AttributeError(f"'cupy.random._generator_api.Generator' object has no attribute '{name}'")

        def draw(*args: Any, **kwargs: Any) -> Any:
            bound("cupy.random.Generator", name, (self, *args), kwargs)
            LEDGER.operations[f"random.{name}"] += 1
            return wrap(getattr(self._host, name)(*args, **kwargs))

        return draw


class Event:
    """`cupy.cuda.Event`: a point in time."""

    def record(self, stream: Any = None) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        LEDGER.synchronize()


class MemoryPool:
    """`cupy.cuda.MemoryPool`, which has nothing to free: NumPy owns the memory."""

    def free_all_blocks(self) -> None:
        LEDGER.operations["free_all_blocks"] += 1


def _poisoned(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def empty(*args: Any, **kwargs: Any) -> ndarray:
        bound("cupy", name, args, kwargs)
        result = wrap(function(*unwrap(args), **kwargs))
        result._host[...] = POISON[result.dtype.kind]  # a read before the first write gives a wrong result
        return result

    return empty


def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if not on_device(condition):
        raise AttributeError(f"'{type(condition).__name__}' object has no attribute 'astype'")
    if x is None:
        return condition.nonzero()
    LEDGER.operations["where"] += 1
    return wrap(np.where(unwrap(condition), unwrap(checked(x)), unwrap(checked(y))))


def _copyto(dst: ndarray, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    if isinstance(src, np.ndarray) and src.ndim:
        raise ValueError("non-scalar numpy.ndarray cannot be used for copyto")
    LEDGER.operations["copyto"] += 1
    np.copyto(unwrap(dst), unwrap(src), casting, True if where is None else unwrap(where))


def _asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> np.ndarray:
    return a.get(stream, order, out) if on_device(a) else np.asarray(a, order=order)


def _from_dlpack(array: Any, *, device: Any = None, copy: Any = None) -> ndarray:
    assert device is None, "the stand-in leaves an array on its device"
    kind, index = array.__dlpack_device__()
    if kind not in (2, 13):  # kDLCUDA, kDLCUDAManaged
        raise TypeError("CPU arrays cannot be directly imported to CuPy. Use `cupy.array(numpy.from_dlpack(input))`.")
    capsule = array.__dlpack__(stream=1, max_version=(1, 0), copy=copy)  # 1: the default stream
    assert isinstance(capsule, Capsule) and capsule.array._device == index
    return capsule.array[...]


def make_cupy() -> types.ModuleType:
    properties = {"name": b"stand-in for a GPU", "totalGlobalMem": 2**30, "major": 9, "minor": 0}
    cupy = Strict(
        "cupy",
        ndarray=ndarray,
        where=_where,
        copyto=_copyto,
        asnumpy=_asnumpy,
        matmul=Matmul("matmul"),
        from_dlpack=_from_dlpack,
        empty=_poisoned(np.empty, "empty"),
        empty_like=_poisoned(np.empty_like, "empty_like"),
        RawModule=RawModule,
        get_default_memory_pool=MemoryPool,
    )
    runtime = Strict(
        "cupy.cuda.runtime",
        getDeviceCount=lambda: 2,
        getDeviceProperties=lambda device: properties,
        deviceSynchronize=LEDGER.synchronize,
    )
    cuda = Strict(
        "cupy.cuda",
        Device=Device,
        Event=Event,
        is_available=lambda: True,
        get_elapsed_time=lambda start, end: 1e3 * (end.time - start.time),
    )
    cupy.__dict__.update(__version__=API["version"], cuda=cuda, linalg=Strict("cupy.linalg"))
    cupy.__dict__["random"] = Strict("cupy.random", default_rng=Generator, Generator=Generator)
    cupy.__dict__["lib"] = types.SimpleNamespace(stride_tricks=Strict("cupy.lib.stride_tricks"))
    cuda.__dict__["runtime"] = runtime
    return cupy


def make_cupyx() -> types.ModuleType:
    return Strict("cupyx", scatter_add=lambda a, slices, value: a.scatter_add(slices, value))
