"""Functions that make leaf Tensors: from data, of one value, of a range, at random.

Common arguments, by keyword:
    dtype: a floating, integer or bool NumPy dtype or its name; default float32 unless a function says otherwise.
    device: "cpu", "cuda" or "cuda:1"; default "cpu" unless a function says otherwise.
    requires_grad: whether operations on the Tensor are recorded; floating dtypes only.
All raise DtypeError and DeviceError. A shape is given as `zeros(2, 3)` or `zeros((2, 3))`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .autograd import Tensor
from .backend import (
    DEFAULT_FLOAT,
    Array,
    array_module,
    full_device_name,
    random_generator,
    real_array,
    real_dtype,
    to_device,
)
from .errors import DeviceError, DtypeError
from .ops.dtypes import fitting, number
from .ops.shape import as_sizes


def tensor(data: Any, requires_grad: bool = False, dtype: DTypeLike | None = None, device: str | None = None) -> Tensor:
    """Make a leaf Tensor from numbers, nested lists, an array or a Tensor; the values are copied.

    Args:
        data: real numbers of any shape.
        requires_grad: whether operations on the Tensor are recorded.
        dtype: default: an array keeps its own; Python floats become float32, ints int64, bools bool.
        device: default: the device of the data.

    Raises:
        DtypeError: if the data is not real numbers, or not floating although requires_grad.
        DeviceError: if the device is not there.
    """
    source = data.data if isinstance(data, Tensor) else data
    array = real_array("tensor", source)
    if dtype is None and not hasattr(source, "dtype") and array.dtype.kind == "f":
        dtype = DEFAULT_FLOAT
    return _leaf(array.copy(), dtype, device, requires_grad)


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """Return a leaf Tensor over a NumPy array's own memory, in its shape and dtype.

    Raises DtypeError, also if the array is not in native byte order: its memory could not be shared.
    """
    if not isinstance(array, np.ndarray):
        raise DtypeError(f"from_numpy: expected a NumPy array, got a {type(array).__name__}")
    if not array.dtype.isnative:
        raise DtypeError(f"from_numpy: {array.dtype.str} is not in native byte order; ms.tensor copies such an array")
    return _leaf(array, None, None, False)


def from_dlpack(source: Any, *, device: str | None = None, copy: bool | None = None) -> Tensor:
    """Return a leaf Tensor over the memory of another library's array, in its shape and dtype.

    Memory that is read-only stays so. The other library's writes do not count as writes to the Tensor.

    Args:
        source: an array that speaks DLPack, such as a `torch.Tensor`, on the CPU or a CUDA GPU.
        device: default: that of the array; on another one, the Tensor is a copy.
        copy: True: copy the memory; False: raise an error if it cannot be shared; None: share it if possible.

    Raises:
        DtypeError: if the source does not speak DLPack, or its dtype is not a real one of NumPy's, such as bfloat16.
        DeviceError: if its device is neither the CPU nor a CUDA GPU, or is not there.
        BufferError: raised by the source, for example if it requires gradients.
    """
    if not hasattr(source, "__dlpack_device__"):
        raise DtypeError(f"from_dlpack: a {type(source).__name__} does not speak DLPack; ms.tensor copies numbers")
    kind, index = (int(number) for number in source.__dlpack_device__())
    if kind in (1, 3):  # kDLCPU and kDLCUDAHost of dlpack.h
        xp = np
    elif kind in (2, 13):  # kDLCUDA and kDLCUDAManaged
        xp = array_module(to_device(np.empty(0), f"cuda:{index}"))  # also makes this GPU the current one
    else:
        raise DeviceError(f"from_dlpack: device {kind} of dlpack.h is neither the CPU nor a CUDA GPU")
    try:
        array = xp.from_dlpack(source) if copy is None else xp.from_dlpack(source, copy=copy)
    except RuntimeError as error:  # NumPy's answer to bfloat16
        raise DtypeError(f"from_dlpack: {error}") from error
    return _leaf(array, None, device, False)


def zeros(
    *shape: int | Sequence[int], dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Return a Tensor of this shape filled with 0."""
    return _leaf(np.zeros(as_sizes("zeros", shape), _or_float32(dtype)), None, device, requires_grad)


def ones(
    *shape: int | Sequence[int], dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Return a Tensor of this shape filled with 1."""
    return _leaf(np.ones(as_sizes("ones", shape), _or_float32(dtype)), None, device, requires_grad)


def full(
    shape: int | Sequence[int],
    value: float,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a Tensor of this shape filled with one value; dtype by default that of `tensor(value)`."""
    return _leaf(np.full(shape, tensor(value, dtype=dtype).data), None, device, requires_grad)


def arange(
    start: float,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return start, start + step, … up to but without stop, of shape (⌈(stop - start) / step⌉,).

    Args:
        start, stop, step: numbers; `arange(n)` counts from 0 to n - 1.
        dtype: default int64 if all three are integers, otherwise float32.
    """
    first, last = (0, start) if stop is None else (start, stop)
    bounds = [number("arange", *named) for named in (("start", first), ("stop", last), ("step", step))]
    values = np.arange(*bounds)
    if dtype is None and values.dtype.kind == "f":
        dtype = DEFAULT_FLOAT
    return _leaf(values, dtype, device, requires_grad)


def linspace(
    start: float,
    stop: float,
    num: int = 50,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return num evenly spaced values from start to stop, both included, of shape (num,)."""
    return _leaf(
        np.linspace(number("linspace", "start", start), number("linspace", "stop", stop), num),
        _or_float32(dtype),
        device,
        requires_grad,
    )


def eye(
    rows: int,
    columns: int | None = None,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a matrix (rows, columns) with 1 on the diagonal and 0 elsewhere; by default square."""
    return _leaf(np.eye(rows, columns, dtype=_or_float32(dtype)), None, device, requires_grad)


def zeros_like(
    x: Tensor, *, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Return zeros in the shape of x; dtype and device by default those of x."""
    return _leaf(array_module(x.data).zeros(x.shape, x.dtype), dtype, device, requires_grad)


def ones_like(
    x: Tensor, *, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Return ones in the shape of x; dtype and device by default those of x."""
    return _leaf(array_module(x.data).ones(x.shape, x.dtype), dtype, device, requires_grad)


def full_like(
    x: Tensor, value: float, *, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Return one value everywhere in the shape of x; dtype and device by default those of x."""
    one = tensor(value, dtype=x.dtype if dtype is None else dtype)
    return _leaf(array_module(x.data).full(x.shape, one.item(), one.dtype), None, device, requires_grad)


def rand(
    *shape: int | Sequence[int], dtype: DTypeLike | None = None, device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """Return a Tensor of this shape, uniform in [0, 1), from minisk's generator (`ms.manual_seed`)."""
    generator = random_generator(full_device_name(device))
    values = generator.random(as_sizes("rand", shape), _drawn_dtype(dtype))
    return _leaf(values, _or_float32(dtype), None, requires_grad)


def randn(
    *shape: int | Sequence[int], dtype: DTypeLike | None = None, device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """Return a Tensor of this shape, normal with mean 0 and variance 1, from minisk's generator (`ms.manual_seed`)."""
    generator = random_generator(full_device_name(device))
    values = generator.standard_normal(as_sizes("randn", shape), _drawn_dtype(dtype))
    return _leaf(values, _or_float32(dtype), None, requires_grad)


def _or_float32(dtype: DTypeLike | None) -> DTypeLike:
    return DEFAULT_FLOAT if dtype is None else real_dtype("tensor", dtype)


def _drawn_dtype(dtype: DTypeLike | None) -> DTypeLike:
    """Return the dtype to draw in; NumPy's and CuPy's generators know two."""
    return np.float64 if np.dtype(_or_float32(dtype)) == np.float64 else np.float32


def _leaf(array: Array, dtype: DTypeLike | None, device: str | None, requires_grad: bool) -> Tensor:
    """Return the array as a Tensor in this dtype on this device; None leaves either as it is. Raises DtypeError."""
    if dtype is not None:
        array = fitting("tensor", array, real_dtype("tensor", dtype), casting="unsafe")
    return Tensor(array if device is None else to_device(array, device), requires_grad)
