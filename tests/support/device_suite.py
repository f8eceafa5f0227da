"""Results that a GPU and the CPU must share. The tests run on CuPy's stand-in, and on a GPU where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agreement import kernel_mode
from operation_cases import CASES, IMAGES, Case
from parity import as_list
from tiny_run import config, trained, use_tiny, weights

import minisk as ms
from minisk import models, nn, ops
from minisk.backend import to_device
from minisk.errors import DeviceError, ShapeError
from minisk.evaluation import load_classifier
from minisk.evaluation.metrics import evaluate
from minisk.optim import SGD, AdamW, Muon, Optimizer
from minisk.runtime.launcher import launch
from minisk.runtime.signature import PACKAGE
from minisk.sanitizer.cases import Case as KernelCase
from minisk.sanitizer.cases import cases
from minisk.serialization import load_checkpoint
from minisk.training.trainer import Trainer

# Two devices add in different orders; rounding separates their results by less than this.
TOLERANCE = {"float64": 1e-10, "float32": 2e-5, "float16": 2e-3}

# Each device draws dropout's mask from a generator of its own.
DEVICE_CASES = [case for case in CASES if case.name != "dropout"]
IMAGE_CASES = [case for case in CASES if case.has_images]
LARGER = (67, 45)  # height and width: two tiles of a kernel and a tail

KERNEL_CASES = {
    f"{path.stem} {name} {number} {dtype}": case
    for path in sorted(PACKAGE.glob("*.cu"))
    for dtype in ("float32", "float64")
    for name, found in cases(path, dtype).items()
    for number, case in enumerate(found)
}


class DeviceSuite:
    """The tests that CuPy's stand-in and a real GPU run alike."""

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("case", DEVICE_CASES, ids=str)
    def test_operation_and_its_derivatives_agree_with_the_cpu(self, case: Case, dtype: str) -> None:
        assert_alike(results(case, "cuda", dtype), results(case, "cpu", dtype), TOLERANCE[dtype])

    @pytest.mark.parametrize("dtype", ["float32", "float16"])
    @pytest.mark.parametrize("case", IMAGE_CASES, ids=str)
    def test_kernels_of_an_operation_agree_with_its_formulas(self, case: Case, dtype: str) -> None:
        found = {}
        for mode in ("auto", "numpy"):
            with kernel_mode(mode):
                found[mode] = results(case, "cuda", dtype, LARGER)
        assert_alike(found["auto"], found["numpy"], 5 * TOLERANCE[dtype])

    @pytest.mark.parametrize("name", KERNEL_CASES)
    def test_a_kernel_writes_the_same_arrays_as_on_the_cpu(self, name: str) -> None:
        case = KERNEL_CASES[name]
        there, here = (written_by(case, device) for device in ("cuda", "cpu"))
        assert_alike(there, here, TOLERANCE[name.rpartition(" ")[2]])

    @pytest.mark.core
    def test_errors_on_the_device_are_minisk_errors(self) -> None:
        x = ms.tensor(np.ones((2, 3)), device="cuda")
        with pytest.raises(DeviceError, match="add: tensors on different devices: cuda:0, cpu"):
            x + ms.tensor(np.ones((2, 3)))
        with pytest.raises(DeviceError, match="device 'cuda:99' asked for, but there are"):
            x.to("cuda:99")
        wrong = ms.tensor(np.ones(4), device="cuda")
        for call in (lambda: x.reshape(5), lambda: x[7], lambda: x @ x, lambda: x + wrong):
            with pytest.raises(ShapeError):
                call()

    @pytest.mark.core
    def test_a_tensor_shows_its_values_and_device(self) -> None:
        x = ms.tensor([1.0, 2.0], requires_grad=True, device="cuda:0")
        assert repr(x) == "tensor([1., 2.], dtype=float32, device='cuda:0', requires_grad=True)"
        assert float(x[0]) == 1.0 and bool(x[1] > 1) and [v.item() for v in x] == [1, 2]
        assert np.asarray(x).tolist() == [1, 2] and len({x, x}) == 1
        assert ms.tensor(x).device == "cuda:0" and ms.tensor(x, device="cpu").device == "cpu"

    def test_dropout_draws_from_the_generator_of_the_device(self) -> None:
        def drawn() -> np.ndarray:
            ms.manual_seed(4)
            return ops.dropout(ms.tensor(np.ones(200), device="cuda"), 0.25).numpy()

        first = drawn()
        assert set(first.tolist()) == {0.0, 1 / 0.75} and 20 < (first == 0).sum() < 80
        np.testing.assert_array_equal(first, drawn())

    @pytest.mark.core
    @pytest.mark.parametrize("optimizer_class", [AdamW, Muon])
    def test_an_optimizer_takes_the_same_steps_as_on_the_cpu(self, optimizer_class: type[Optimizer]) -> None:
        ends = []
        for device in ("cpu", "cuda"):
            x = ms.tensor(np.sin(np.arange(15.0)).reshape(3, 5), requires_grad=True, device=device)
            optimizer = optimizer_class([x], lr=0.1)
            for _ in range(3):
                optimizer.zero_grad()
                (x * x).sum().backward()
                optimizer.step()
            ends.append(x.numpy())
        # Products of matrices, which Muon has, add up in an order that is the device's.
        np.testing.assert_allclose(ends[1], ends[0], rtol=1e-12 if optimizer_class is AdamW else 1e-9)

    def test_gradcheck_checks_a_layer_on_its_device(self) -> None:
        layer = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3)).to("cuda")
        x = ms.tensor(np.random.default_rng(0).standard_normal((2, 2, 3, 3)), device="cuda")
        assert ms.gradcheck(layer, x, mode="fast").ok
        assert {p.device for p in layer.parameters()} == {"cuda:0"}

    @pytest.mark.core
    def test_anomalies_are_found_on_the_device(self) -> None:
        x = ms.tensor([0.0, 1.0], requires_grad=True, device="cuda")
        with ms.detect_anomaly(), pytest.raises(ms.errors.NotFiniteError, match="gradient of input 0"):
            (ops.sqrt(x) * 1.0).sum().backward()

    def test_training_steps_agree_with_the_cpu(self) -> None:
        """Compare in float64: the squeeze's batch norm over four images amplifies the rounding of float32."""
        losses, states = [], []
        for device in ("cpu", "cuda"):
            step = Step("sknet_small", images=4, size=32, device=device, dtype="float64")
            losses.append([step.take() for _ in range(2)])
            states.append(step.state())
        np.testing.assert_allclose(losses[1], losses[0], rtol=1e-9)
        assert_alike(states[1], states[0], 1e-7)

    def test_a_resumed_run_ends_with_the_same_bits(self, monkeypatch: Any, tmp_path: Path) -> None:
        use_tiny(monkeypatch)
        settings = {"epochs": 2, "ema": 0.8, "clip_norm": 1.0, "accumulate": 2, "device": "cuda"}
        whole = trained(tmp_path / "whole", **settings)
        assert {value.device for value in whole.model.state_dict().values()} == {"cuda:0"}
        trained(tmp_path / "parts", stop_after=1, **settings)
        resumed = trained(tmp_path / "parts", resume=True, **settings)
        for name, value in weights(whole).items():
            np.testing.assert_array_equal(value, weights(resumed)[name], err_msg=name)
        assert [m.test_accuracy for m in whole.history] == [m.test_accuracy for m in resumed.history]

    def test_a_checkpoint_moves_from_one_device_to_the_other(self, monkeypatch: Any, tmp_path: Path) -> None:
        use_tiny(monkeypatch)
        started = trained(tmp_path, epochs=2, stop_after=1, device="cuda")
        arrays, _ = load_checkpoint(tmp_path / "last.safetensors")
        assert {type(array) for array in arrays.values()} == {np.ndarray}
        # The device is not among the settings that a resumed run must share with its checkpoint.
        resumed = Trainer(config(epochs=2, device="cpu"), tmp_path, resume=True)
        assert_alike(weights(resumed), weights(started), 0)
        best = tmp_path / "best.safetensors"
        there, here = (evaluate(load_classifier(best, d).model, resumed.test_loader, d) for d in ("cuda", "cpu"))
        np.testing.assert_allclose(there, here, rtol=1e-5)


def results(case: Case, device: str, dtype: str, height_and_width: tuple[int, int] = IMAGES[2:]) -> list[np.ndarray]:
    """Run a case on a device. Return its outputs, and the first and second gradients of their weighted sum."""
    arrays = [array.astype(dtype) for array in case.arrays(height_and_width)]
    rng = np.random.default_rng(0)
    xs = [ms.tensor(array, requires_grad=True, device=device) for array in arrays]
    outs = as_list(case.function(*xs))
    assert all(out.device.startswith(device) for out in outs)
    found = [out.numpy() for out in outs]
    rooted = [out for out in outs if out.requires_grad]
    if rooted:
        weights = [ms.tensor(rng.uniform(0.5, 1.5, out.shape), dtype=out.dtype, device=device) for out in rooted]
        found += [g.numpy() for g in ms.grad(rooted, xs, weights, retain_graph=True, allow_unused=True)]
    if rooted and dtype != "float16":  # squares of gradients overflow float16
        firsts = ms.grad(rooted, xs, weights, create_graph=True, allow_unused=True)
        squares = [(first * first).sum() for first in firsts if first.requires_grad]
        found += [g.numpy() for g in ms.grad(squares, xs, allow_unused=True)] if squares else []
    return found


def written_by(case: KernelCase, device: str) -> list[np.ndarray]:
    """Launch a kernel with the arguments of its `check:` line, and return the arrays that are not const."""
    args = [to_device(arg.copy(), device) if isinstance(arg, np.ndarray) else arg for arg in case.args]
    # A kernel whose threads work in teams (LANES > 1) needs every thread of its block.
    with kernel_mode("auto" if case.kernel.constants.get("LANES", 1) == 1 else "threads"):
        launch(case.kernel, case.grid, case.block, args, case.dynamic_shared)
    parameters = case.kernel.signature.parameters
    return [to_device(arg, "cpu") for p, arg in zip(parameters, args, strict=True) if p.is_array and not p.is_const]


def assert_alike(one: Any, other: Any, tolerance: float) -> None:
    """Compare lists or dicts of arrays: same shapes and dtypes, equal integers, max|Δ| ≤ tolerance · max|value|."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        one, other = list(one.values()), list(other.values())
    assert [(a.shape, a.dtype) for a in one] == [(b.shape, b.dtype) for b in other]
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, b, err_msg=f"result {number}")
        elif a.size:
            np.testing.assert_array_equal(np.where(np.isfinite(a), 0, a), np.where(np.isfinite(b), 0, b))
            is_number = np.isfinite(a)
            scale = max(float(np.abs(a[is_number]).max(initial=0)), 1e-3)
            off = np.abs(a[is_number].astype(np.float64) - b[is_number]).max(initial=0)
            assert off <= tolerance * scale, f"result {number}: off by {off:.2e}"


class Step:
    """A model, an optimizer and a batch on a device."""

    def __init__(self, name: str, images: int, size: int, device: str, dtype: str = "float32") -> None:
        ms.manual_seed(0)
        classes = 10
        self.model = models.create(name, classes).to(device, dtype=dtype)
        self.optimizer = SGD(self.model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4, nesterov=True)
        rng = np.random.default_rng(1)
        self.x = ms.tensor(rng.standard_normal((images, 3, size, size)).astype(dtype), device=device)
        self.y = ms.tensor(rng.integers(classes, size=images), device=device)

    def take(self) -> float:
        """Do one training step and return its loss."""
        self.optimizer.zero_grad()
        loss = ops.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of the weights and running statistics."""
        return {name: value.numpy().copy() for name, value in self.model.state_dict().items()}
