"""`cupy.ndarray`, over a private NumPy array.

The class is no subclass of NumPy's: `np.asarray(x)` and `isinstance(x, np.ndarray)` must fail as in CuPy. The ledger
records every computation, and every wait for the device when a value is read back.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import operator
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .ledger import LEDGER

API = json.loads(Path(__file__).with_name("api.json").read_text(encoding="utf-8"))
NAMES: dict[str, dict[str, str | None]] = API["names"]

SCALARS = (bool, int, float, complex, np.generic)
quiet = functools.partial(np.errstate, all="ignore")  # a GPU does not report divisions by zero
POISON = {"f": np.nan, "c": np.nan, "i": -77, "u": 77, "b": True}


def signature(owner: str, name: str) -> inspect.Signature | None:
    """Return the signature of a function of the real CuPy; None if it is not recorded."""
    text = NAMES[owner][name]
    return None if text in (None, "ufunc") else inspect.signature(eval(f"lambda {text}: None"))


def bound(owner: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise the TypeError that the real function would raise for these arguments."""
    expected = signature(owner, name)
    try:
        if expected is not None:
            expected.bind(*args, **kwargs)
    except TypeError as error:
        unknown = [k for k in kwargs if k not in expected.parameters]
        problem = f"got an unexpected keyword argument '{unknown[0]}'" if unknown else str(error)
        raise TypeError(f"{name}() {problem}") from None


def on_device(value: Any) -> bool:
    return isinstance(value, ndarray)


def checked(value: Any) -> Any:
    """Return the value if it is an operand for a CuPy array: another array or a number. Raise TypeError if not."""
    if not on_device(value) and not isinstance(value, SCALARS):
        raise TypeError(f"Unsupported type {type(value)}")
    return value


def unwrap(value: Any) -> Any:
    """Return the NumPy arrays behind arrays, also inside lists and dicts. Raise ValueError for another device."""
    if on_device(value):
        if value._device != Device.current:
            devices = f"array device = {value._device} while current = {Device.current}"
            raise ValueError(f"Array device must be same as the current device: {devices}")
        return value._host
    if isinstance(value, tuple | list):
        return type(value)(unwrap(item) for item in value)
    return {k: unwrap(v) for k, v in value.items()} if isinstance(value, dict) else value


def wrap(result: Any, *sources: Any) -> Any:
    """Turn NumPy's results into arrays of the device. Scalars get shape (); a view of a source has it as base."""
    if isinstance(result, tuple | list):
        return type(result)(wrap(item, *sources) for item in result)
    if not isinstance(result, np.ndarray | np.generic):
        return result
    host = np.asarray(result)
    for source in sources:
        if on_device(source):
            if host is source._host:
                return source
            if _root(host) is _root(source._host):
                return ndarray._over(host, source._device, source if source.base is None else source.base)
    return ndarray._over(host, Device.current)


def _root(array: Any) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class Device:
    """`cupy.cuda.Device`. There are two; computations run on the current one."""

    current = 0

    def __init__(self, device: Any = None) -> None:
        self.id = Device.current if device is None else int(device)
        self._left: list[int] = []

    def use(self) -> None:
        if self.id not in (0, 1):
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        Device.current = self.id

    def __enter__(self) -> Device:
        self._left.append(Device.current)
        self.use()
        return self

    def __exit__(self, *args: Any) -> None:
        Device.current = self._left.pop()

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def synchronize(self) -> None:
        LEDGER.synchronize()


class Flags:
    """`cupy.ndarray.flags`."""

    def __init__(self, host: np.ndarray) -> None:
        self.c_contiguous, self.f_contiguous = host.flags.c_contiguous, host.flags.f_contiguous
        self.owndata = host.flags.owndata


class Capsule:
    """A DLPack capsule of memory "on the GPU"; `cupy.from_dlpack` alone can open it."""

    def __init__(self, array: ndarray) -> None:
        self.array = array


class ndarray:
    """An array "on the GPU"."""

    __slots__ = ("__weakref__", "_device", "_host", "base")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"
    ) -> None:
        assert memptr is None and strides is None, "the stand-in has no pointers"
        self._host, self._device, self.base = np.empty(shape, dtype, order), Device.current, None
        self._host[...] = POISON[self._host.dtype.kind]  # a read before the first write gives a wrong result

    @classmethod
    def _over(cls, host: np.ndarray, device: int, base: ndarray | None = None) -> ndarray:
        self = object.__new__(cls)
        self._host, self._device, self.base = host, device, base
        return self

    # Properties

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: Flags(self._host))
    device = property(lambda self: Device(self._device))
    T = property(lambda self: wrap(self._host.T, self))
    mT = property(lambda self: wrap(self._host.mT, self))
    real = property(lambda self: wrap(self._host.real, self))

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    # Back to the host

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": self.shape, "typestr": self.dtype.str, "version": 3}

    def __dlpack__(self, **options: Any) -> Capsule:
        bound("cupy.ndarray", "__dlpack__", (self,), options)
        return Capsule(wrap(self._host.copy()) if options.get("copy") else self)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self._device

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        LEDGER.synchronize()
        assert out is None and stream is None, "the stand-in copies to new memory only"
        return self._host.copy(order)

    def item(self, *args: Any) -> Any:
        if args:
            raise TypeError(f"item() takes exactly 0 positional arguments ({len(args)} given)")
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self.get().item()

    def __bool__(self) -> bool:
        if self.size > 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()"
            )
        return bool(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def tolist(self) -> Any:
        return self.get().tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self.get().tobytes(order)

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, specification: str) -> str:
        return format(self.get(), specification)

    # Reading and writing parts

    def __getitem__(self, slices: Any) -> ndarray:
        index, is_view = _host_index(slices)
        if not is_view:
            LEDGER.operations["getitem"] += 1
            unwrap(self)
        with _index_errors():
            part = self._host[index]
            if is_view and not isinstance(part, np.ndarray):  # NumPy returns the value, CuPy a view of it
                part = self._host[(*index, ...) if isinstance(index, tuple) else (index, ...)]
            return wrap(part, self)

    def __setitem__(self, slices: Any, value: Any) -> None:
        index, is_view = _host_index(slices)
        if not on_device(value) and np.ndim(value) > 0:
            if is_view:  # CuPy would fill the part with one scalar
                raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
            LEDGER.uploads += 1
        LEDGER.operations["setitem"] += 1
        with _index_errors():
            unwrap(self)[index] = unwrap(value)

    def fill(self, value: Any) -> None:
        self[...] = value

    def scatter_add(self, slices: Any, value: Any) -> None:
        if self.dtype.char not in "ilefdILQ":
            raise TypeError("scatter_add only supports int32, float16, float32, float64, uint32, uint64, as data type")
        LEDGER.operations["scatter_add"] += 1
        np.add.at(unwrap(self), _host_index(slices)[0], unwrap(value))

    def __matmul__(self, other: Any) -> Any:
        return sys.modules["cupy"].matmul(self, other)

    def dot(self, b: Any, out: Any = None) -> Any:
        return sys.modules["cupy"].dot(self, b, out)

    # NumPy's functions dispatch to CuPy's

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        assert method == "__call__", f"the stand-in has no ufunc.{method}"
        return getattr(sys.modules["cupy"], ufunc.__name__)(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if not all(issubclass(t, ndarray) for t in types):
            return NotImplemented
        return getattr(sys.modules["cupy"], func.__name__)(*args, **kwargs)


def _host_index(slices: Any) -> tuple[Any, bool]:
    """Return NumPy's index for CuPy's, and whether it makes a view. A mask waits for the number of its True values."""
    parts = slices if isinstance(slices, tuple) else (slices,)
    arrays = [part for part in parts if on_device(part) or isinstance(part, np.ndarray | list | bool)]
    for part in arrays:
        if np.asarray(unwrap(part)).dtype == bool:
            LEDGER.synchronize()
        LEDGER.uploads += not on_device(part)
    return unwrap(slices), not arrays


@contextlib.contextmanager
def _index_errors() -> Iterator[None]:
    try:
        yield
    except IndexError as error:
        raise IndexError(str(error).replace("index ", "Index ", 1) if "bounds" in str(error) else str(error)) from None


def _computing(name: str) -> Callable[..., Any]:
    """Return a method that computes or copies, with the arguments of CuPy's."""

    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        bound("cupy.ndarray", name, (self, *args), kwargs)
        with quiet():
            result = wrap(getattr(unwrap(self), name)(*unwrap(args), **unwrap(kwargs)), self)
        if result is not self:
            LEDGER.operations[name] += 1
        return result

    return method


def _viewing(name: str) -> Callable[..., Any]:
    """Return a method that makes a view, or a copy where no view is possible."""

    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        bound("cupy.ndarray", name, (self, *args), kwargs)
        result = wrap(getattr(self._host, name)(*args, **kwargs), self)
        if result.base is None:
            LEDGER.operations[name] += 1
        return result

    return method


def _operator(name: str) -> Callable[..., Any]:
    """Return an operator such as `__add__`, `__radd__` or `__iadd__`, for arrays of the device and numbers."""
    word = name.strip("_")
    is_reflected = word[0] == "r" and word not in ("rshift",)
    function = getattr(operator, f"__{word[is_reflected:]}__")

    def method(self: ndarray, *others: Any) -> Any:
        LEDGER.operations[name] += 1
        hosts = [unwrap(self), *(unwrap(checked(other)) for other in others)]
        with quiet():
            return wrap(function(*(hosts[::-1] if is_reflected else hosts)), self)

    return method


COMPUTING = """
    all any argmax argmin astype clip copy cumprod cumsum flatten max mean min prod repeat round std sum take var
"""
VIEWING = "diagonal ravel reshape squeeze swapaxes transpose view"
OPERATORS = """
    abs add and eq floordiv ge gt invert le lt mod mul ne neg or pos pow sub truediv xor
    radd rand rfloordiv rmod rmul ror rpow rsub rtruediv rxor iadd iand ifloordiv imod imul ior ipow isub itruediv ixor
"""

for _name in COMPUTING.split():
    setattr(ndarray, _name, _computing(_name))
for _name in VIEWING.split():
    setattr(ndarray, _name, _viewing(_name))
for _name in OPERATORS.split():
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
