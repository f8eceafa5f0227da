"""Packing: a usual launch is packed in one pass; every other one is looked at closely, with the same errors as ever."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler

import minisk as ms
from minisk import runtime
from minisk.errors import DtypeError, KernelError, ShapeError
from minisk.runtime import Kernel, launch, launcher, packing

pytestmark = needs_compiler

SOURCE = """
extern "C" __global__ void fill(const int n, const float value, const float* from, float* to) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) to[i] = from[i] + value;
}
extern "C" __global__ void choose(const bool yes, float* to) { to[0] = yes ? 1 : 2; }
"""


@pytest.fixture
def closely(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the kernels whose launches were looked at closely."""
    names: list[str] = []
    prepare = launcher._prepare

    def counted(kernel: Kernel, *args: Any, **settings: Any) -> Any:
        names.append(kernel.name)
        return prepare(kernel, *args, **settings)

    monkeypatch.setattr(launcher, "_prepare", counted)
    return names


def fill() -> tuple[Kernel, np.ndarray, np.ndarray]:
    """Return a kernel that was launched once, its input and its output."""
    kernel, x, out = Kernel(SOURCE, "fill"), np.arange(4, dtype="f"), np.zeros(4, "f")
    launch(kernel, 1, 32, (4, 1, x, out))
    return kernel, x, out


def test_from_the_second_launch_on_usual_arguments_are_packed_at_once(closely: list[str]) -> None:
    kernel, x, out = fill()
    launch(kernel, (1,), (32, 1), (np.int64(4), 2.5, x, out))
    launch(kernel, [1], 32, (True, np.float64(0.1), x, out))
    assert closely == ["fill"]
    np.testing.assert_array_equal(out, np.array([np.float32(0.1), 3.5, 4.5, 5.5], "f"))


def test_a_training_step_is_made_of_usual_launches(closely: list[str]) -> None:
    model = ms.models.sknet_small()
    optimizer = ms.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    x, y = ms.randn(8, 3, 32, 32), ms.tensor(np.arange(8) % 10)
    for _ in range(2):
        closely.clear()
        optimizer.zero_grad()
        ms.ops.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert set(closely) <= {"channel_add"}  # which gets a gradient that is spread over planes, a read-only view


READ_ONLY = np.broadcast_to(np.float32(1), 4).copy()
READ_ONLY.flags.writeable = False


def test_a_read_only_input_is_launched_after_a_closer_look(closely: list[str]) -> None:
    kernel, _, out = fill()
    launch(kernel, 1, 32, (4, 1, READ_ONLY, out))
    assert closely == ["fill", "fill"]
    np.testing.assert_array_equal(out, [2, 2, 2, 2])


@pytest.mark.parametrize("null", [None, 0])
def test_null_pointers_are_usual(null: int | None, closely: list[str]) -> None:
    kernel, _, out = fill()
    launch(kernel, 1, 32, (0, 1, null, out))
    assert closely == ["fill"]
    np.testing.assert_array_equal(out, [1, 2, 3, 4])


class Foreign:
    """Like a Tensor of PyTorch: its dtype is not NumPy's."""

    dtype = "float32"

    def __repr__(self) -> str:  # part of a test's name, so it holds no address: pytest's workers compare the names
        return "Foreign()"


@pytest.mark.parametrize(
    "n, value, x, error",
    [
        (4, 1, np.zeros(4), (DtypeError, "argument from is float64, expected float32")),
        (4, 1, np.zeros(8, "f")[::2], (ShapeError, "is not C-contiguous")),
        (4, 1, "abcd", (DtypeError, "argument from is a str, not an array")),
        (4.0, 1, np.zeros(4, "f"), (KernelError, "argument n is 4.0, expected int")),
        (2**31, 1, np.zeros(4, "f"), (KernelError, "argument n is 2147483648, expected int")),
        (4, "one", np.zeros(4, "f"), (KernelError, "argument value is 'one'")),
        (4, [1], np.zeros(4, "f"), (KernelError, r"argument value is \[1\], expected float")),
        (np.ones(4, "i"), 1, np.zeros(4, "f"), (KernelError, "argument n is array")),
        (4, 1, Foreign(), (DtypeError, "argument from is a Foreign, not an array")),
        (4, 1, 7, (DtypeError, "argument from is a int, not an array")),
    ],
    ids=str,
)
def test_what_does_not_fit_is_an_error_after_a_launch_that_did(
    n: Any, value: Any, x: Any, error: tuple[type[Exception], str]
) -> None:
    kernel, _, out = fill()
    with pytest.raises(error[0], match=error[1]):
        launch(kernel, 1, 32, (n, value, x, out))


def test_a_read_only_output_and_too_few_arguments_are_errors() -> None:
    kernel, x, out = fill()
    with pytest.raises(KernelError, match="the array to is read-only"):
        launch(kernel, 1, 32, (4, 1, x, READ_ONLY))
    with pytest.raises(KernelError, match="takes 4 arguments"):
        launch(kernel, 1, 32, (4, 1, x))
    with pytest.raises(KernelError, match="grid"):
        launch(kernel, 0, 32, (4, 1, x, out))


def test_an_array_whose_positions_need_64_bits_is_looked_at_closely(
    closely: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel, x, out = fill()
    monkeypatch.setattr(packing, "LARGEST_INDEX", 3)
    launch(kernel, 1, 32, (4, 1, x, out))
    assert closely == ["fill", "fill"]


def test_a_bool_is_looked_at_closely(closely: list[str]) -> None:
    out, kernel = np.zeros(1, "f"), Kernel(SOURCE, "choose")
    for _ in range(2):
        launch(kernel, 1, 1, (True, out))
    assert closely == ["choose", "choose"] and out[0] == 1
    with pytest.raises(KernelError, match="argument yes is 'no', expected bool"):  # `struct` takes it for true
        launch(kernel, 1, 1, ("no", out))


def test_a_whole_number_that_a_double_does_not_hold_is_rounded_once(closely: list[str]) -> None:
    kernel, x, out = fill()
    for _ in range(2):
        launch(kernel, 1, 32, (1, 2**60 + 2**36 + 1, x, out))
        assert out[0] == np.float32(2**60 + 2**36 + 1)  # rounded to a double first, it would be 2**60


def test_an_environment_that_a_test_replaces_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"MINISK_KERNELS": "threads"})
    assert runtime.kernel_mode() == "threads"
    monkeypatch.setattr(os, "environ", {})
    assert runtime.kernel_mode() == "auto"


def test_modes_that_prove_a_kernel_look_closely(closely: list[str]) -> None:
    kernel, x, out = fill()
    for mode in ("threads", "check"):
        with kernel_mode(mode):
            launch(kernel, 1, 32, (4, 1, x, out))
    assert closely == ["fill"] * 3
