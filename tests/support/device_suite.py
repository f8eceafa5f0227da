"""What must come out the same on a GPU as on the CPU; run on CuPy's stand-in, and on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agreement import kernel_mode
from tiny_run import config, trained, use_tiny, weights

import minisk as ms
from minisk import models, nn, ops
from minisk.backend import to_device
from minisk.errors import DeviceError, ShapeError
from minisk.evaluation import load_classifier
from minisk.optim.optimizer import SGD, AdamW
from minisk.runtime.launcher import launch
from minisk.runtime.signature import PACKAGE
from minisk.sanitizer.cases import Case, cases
from minisk.serialization import load_checkpoint
from minisk.training.trainer import Trainer, evaluate

# Further from each other than rounding lets two orders of summation be.
TOLERANCE = {"float64": 1e-10, "float32": 2e-5, "float16": 2e-3}

IMAGES, PLANES = (2, 6, 7, 5), (2, 6)
CHANNELS = (6,)


def batch_norm(training: bool) -> Callable[..., Any]:
    def call(x: Any, weight: Any, bias: Any) -> Any:
        mean, var = (ms.tensor(np.full(6, v), dtype=x.dtype, device=x.device) for v in (0.25, 2.0))
        out = ops.batch_norm(x, weight, bias, mean, var, training)
        return out, mean + 0, var + 0

    return call


def index_with(x: Any, *parts: Any) -> Any:
    """Index by slices, an integer, an array with repetitions, a mask."""
    return x[:, 1::2], x[1, ..., -1], x[:, np.array([0, 2, 0])], x[x > 0]


def written(x: Any, y: Any) -> Any:
    target = x.detach() + 0
    target[:, 1] = y[:, 0].detach()
    target[0] = 3.0
    target += 1
    target -= 0.5 * target
    return target * y


def labels(x: Any, numbers: list[int]) -> Any:
    return ms.tensor(np.array(numbers), device=x.device)


# Every operation: a function of Tensors, and the shapes of these.
OPERATIONS: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "abs": (ops.abs, [(3, 4)]),
    "add": (lambda x, y: (x + y, 2 + x, x + np.ones(4)), [(3, 4), (4,)]),
    "add_relu": (ops.add_relu, [IMAGES, IMAGES]),
    "argmax": (lambda x: (ops.argmax(x), ops.argmax(x, 1)), [(3, 4)]),
    "avg_pool2d": (lambda x: ops.avg_pool2d(x, 3, 2, 1), [IMAGES]),
    "axpy": (ops.axpy, [PLANES, IMAGES, IMAGES]),
    "batch_norm": (batch_norm(training=True), [IMAGES, CHANNELS, CHANNELS]),
    "batch_norm in evaluation": (batch_norm(training=False), [IMAGES, CHANNELS, CHANNELS]),
    "broadcast_to": (lambda x: ops.broadcast_to(x, (2, 3, 4)), [(3, 1)]),
    "cast": (lambda x: (ops.cast(x, "float32"), ops.cast(x, "int64"), x.to(dtype="float64")), [(3, 4)]),
    "channel_dot": (ops.channel_dot, [IMAGES, IMAGES]),
    "channel_scale": (ops.channel_scale, [PLANES, IMAGES]),
    "clip": (lambda x: ops.clip(x, -0.5, 0.5), [(3, 4)]),
    "concatenate": (lambda x, y: ops.concatenate([x, y], 1), [(3, 4), (3, 2)]),
    "conv2d": (lambda x, w, b: ops.conv2d(x, w, b, 1, 1), [IMAGES, (4, 6, 3, 3), (4,)]),
    "conv2d in groups": (lambda x, w: ops.conv2d(x, w, None, 2, 2, 2, groups=3), [IMAGES, (6, 2, 3, 3)]),
    "conv2d of 1×1": (lambda x, w: (ops.conv2d(x, w), ops.conv2d(x, w, stride=2)), [IMAGES, (4, 6, 1, 1)]),
    "cross_entropy": (
        lambda x: (ops.cross_entropy(x, labels(x, [1, 0, 3])), ops.cross_entropy(x, labels(x, [2, 2, 0]), 0.1)),
        [(3, 4)],
    ),
    "cross_entropy of shares": (lambda x: ops.cross_entropy(x, ops.softmax(x).detach() + 0), [(3, 4)]),
    "div": (lambda x, y: (x / (y * y + 1), 1 / (y * y + 1)), [(3, 4), (4,)]),
    "dropout": (lambda x: ops.dropout(x, 0.5, training=False), [(3, 4)]),
    "equal": (lambda x, y: (x == y, x != y, x == x, x == 0.5), [(3, 4), (4,)]),
    "exp": (ops.exp, [(3, 4)]),
    "expand_dims": (lambda x: ops.expand_dims(x, 1), [(3, 4)]),
    "get_item": (index_with, [(3, 4)]),
    "global_avg_pool2d": (ops.global_avg_pool2d, [IMAGES]),
    "less": (lambda x, y: (x < y, x <= y, x > y, x >= 0), [(3, 4), (4,)]),
    "linear": (ops.linear, [(3, 4), (5, 4), (5,)]),
    "log": (lambda x: ops.log(x * x + 1), [(3, 4)]),
    "log_softmax": (lambda x: ops.log_softmax(x, 1), [(3, 4, 2)]),
    "matmul": (lambda x, y: (x @ y, x[0, 0] @ y, x @ y[0, :, 0]), [(2, 3, 4), (2, 4, 5)]),
    "max": (lambda x: (x.max(), x.max(1), x.max((0, 1), keepdims=True)), [(3, 4, 2)]),
    "max_pool2d": (lambda x: (ops.max_pool2d(x, 3, 2, 1), ops.max_pool2d(x, 2, ceil_mode=True)), [IMAGES]),
    "maximum": (lambda x, y: (ops.maximum(x, y), ops.maximum(x, 0.25)), [(3, 4), (4,)]),
    "mean": (lambda x: (x.mean(), x.mean(1)), [(3, 4)]),
    "min": (lambda x: (x.min(), x.min(1)), [(3, 4)]),
    "minimum": (ops.minimum, [(3, 4), (4,)]),
    "mul": (lambda x, y: (x * y, np.float64(2) * x, x * np.full(4, 0.5)), [(3, 4), (4,)]),
    "neg": (ops.neg, [(3, 4)]),
    "pad": (lambda x: ops.pad(x, ((1, 0), (2, 1))), [(3, 4)]),
    "pow": (lambda x: (x**2, x**3, 2**x, (x * x + 1) ** -0.5), [(3, 4)]),
    "relu": (ops.relu, [(3, 4)]),
    "reshape": (lambda x: (x.reshape(4, -1), x.reshape(12)), [(3, 4)]),
    "select": (lambda a, x, y: ops.select(a, [x, y]), [(2, 2, 6), IMAGES, IMAGES]),
    "set_item": (lambda x, y: (x * 1, written(x, y)), [(3, 4), (3, 1)]),
    "sigmoid": (ops.sigmoid, [(3, 4)]),
    "softmax": (lambda x: (ops.softmax(x, 0), ops.softmax(x)), [(3, 4, 2)]),
    "split": (lambda x: tuple(ops.split(x, [1, 3], 1)), [(3, 4)]),
    "sqrt": (lambda x: ops.sqrt(x * x + 1), [(3, 4)]),
    "squeeze": (lambda x: ops.squeeze(x, 1), [(3, 1, 4)]),
    "stack": (lambda x, y: ops.stack([x, y], 1), [(3, 4), (3, 4)]),
    "sub": (lambda x, y: (x - y, 1 - x, x - 1), [(3, 4), (4,)]),
    "sum": (lambda x: (x.sum(), x.sum(1), x.sum((0, -1), keepdims=True)), [(3, 4, 2)]),
    "sum_to": (lambda x: ops.sum_to(x, (3, 1)), [(2, 3, 4)]),
    "tanh": (ops.tanh, [(3, 4)]),
    "to": (lambda x: (x.to("cpu") * 2).to(x.device), [(3, 4)]),
    "transpose": (lambda x: (x.T, x.transpose(1, 2, 0)), [(3, 4, 2)]),
    "var": (lambda x: (x.var(), x.var(1, ddof=1)), [(3, 4)]),
    "where": (lambda x, y: (ops.where(x > y, x, y), ops.where(np.eye(3, 4) > 0, x, 0.0)), [(3, 4), (4,)]),
}
# Those that come with another one.
TOGETHER = {
    "not_equal": "equal",
    "less_equal": "less",
    "greater": "less",
    "greater_equal": "less",
}


KERNEL_CASES = {
    f"{path.stem} {name} {number} {dtype}": case
    for path in sorted(PACKAGE.glob("*.cu"))
    for dtype in ("float32", "float64")
    for name, found in cases(path, dtype).items()
    for number, case in enumerate(found)
}


class DeviceSuite:
    """The tests; `device` is a fixture of the class that inherits them."""

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("name", OPERATIONS)
    def test_an_operation_and_its_derivatives_are_those_of_the_cpu(self, name: str, dtype: str) -> None:
        assert_alike(results(name, "cuda", dtype), results(name, "cpu", dtype), TOLERANCE[dtype])

    @pytest.mark.parametrize("dtype", ["float32", "float16"])
    @pytest.mark.parametrize("name", [name for name, (_, shapes) in OPERATIONS.items() if IMAGES in shapes])
    def test_its_kernels_agree_with_its_formulas(self, name: str, dtype: str) -> None:
        found = {}
        for mode in ("auto", "numpy"):
            with kernel_mode(mode):
                found[mode] = results(name, "cuda", dtype, planes=(67, 45))  # two tiles and a tail
        assert_alike(found["auto"], found["numpy"], 5 * TOLERANCE[dtype])

    @pytest.mark.parametrize("name", KERNEL_CASES)
    def test_a_kernel_writes_what_it_writes_on_the_cpu(self, name: str) -> None:
        case = KERNEL_CASES[name]
        there, here = (written_by(case, device) for device in ("cuda", "cpu"))
        assert_alike(there, here, TOLERANCE[name.rpartition(" ")[2]])

    def test_errors_are_minisks_own(self) -> None:
        x = ms.tensor(np.ones((2, 3)), device="cuda")
        with pytest.raises(DeviceError, match="add: tensors on different devices: cuda:0, cpu"):
            x + ms.tensor(np.ones((2, 3)))
        with pytest.raises(DeviceError, match="device 'cuda:99' asked for, but there are"):
            x.to("cuda:99")
        wrong = ms.tensor(np.ones(4), device="cuda")
        for call in (lambda: x.reshape(5), lambda: x[7], lambda: x @ x, lambda: x + wrong):
            with pytest.raises(ShapeError):
                call()

    def test_a_tensor_shows_its_values_and_device(self) -> None:
        x = ms.tensor([1.0, 2.0], requires_grad=True, device="cuda:0")
        assert repr(x) == "tensor([1., 2.], dtype=float32, device='cuda:0', requires_grad=True)"
        assert float(x[0]) == 1.0 and bool(x[1] > 1) and [v.item() for v in x] == [1, 2]
        assert np.asarray(x).tolist() == [1, 2] and len({x, x}) == 1
        assert ms.tensor(x).device == "cuda:0" and ms.tensor(x, device="cpu").device == "cpu"

    def test_dropout_draws_from_the_devices_own_generator(self) -> None:
        def drawn() -> np.ndarray:
            ms.manual_seed(4)
            return ops.dropout(ms.tensor(np.ones(200), device="cuda"), 0.25).numpy()

        first = drawn()
        assert set(first.tolist()) == {0.0, 1 / 0.75} and 20 < (first == 0).sum() < 80
        np.testing.assert_array_equal(first, drawn())

    def test_adamw_takes_the_cpus_steps(self) -> None:
        ends = []
        for device in ("cpu", "cuda"):
            x = ms.tensor(np.linspace(-1, 1, 5), requires_grad=True, device=device)
            optimizer = AdamW([x], lr=0.1)
            for _ in range(3):
                optimizer.zero_grad()
                (x * x).sum().backward()
                optimizer.step()
            ends.append(x.numpy())
        np.testing.assert_allclose(ends[1], ends[0], rtol=1e-12)

    def test_gradcheck_checks_a_layer_where_it_is(self) -> None:
        layer = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3)).to("cuda")
        x = ms.tensor(np.random.default_rng(0).standard_normal((2, 2, 3, 3)), device="cuda")
        assert ms.gradcheck(layer, x, mode="fast").ok
        assert {p.device for p in layer.parameters()} == {"cuda:0"}

    def test_anomalies_are_found_there_too(self) -> None:
        x = ms.tensor([0.0, 1.0], requires_grad=True, device="cuda")
        with ms.detect_anomaly(), pytest.raises(ms.errors.NotFiniteError, match="gradient of input 0"):
            (ops.sqrt(x) * 1.0).sum().backward()

    def test_training_steps_are_those_of_the_cpu(self) -> None:
        """In float64: the squeeze's batch norm over four images makes much of float32's rounding."""
        losses, states = [], []
        for device in ("cpu", "cuda"):
            step = Step("sknet_small", images=4, size=32, device=device, dtype="float64")
            losses.append([step.take() for _ in range(2)])
            states.append(step.state())
        np.testing.assert_allclose(losses[1], losses[0], rtol=1e-9)
        assert_alike(states[1], states[0], 1e-7)

    def test_a_run_stops_and_goes_on_with_the_same_bits(self, monkeypatch: Any, tmp_path: Path) -> None:
        use_tiny(monkeypatch)
        settings = {"epochs": 2, "ema": 0.8, "clip_norm": 1.0, "accumulate": 2, "device": "cuda"}
        whole = trained(tmp_path / "whole", **settings)
        assert {value.device for value in whole.model.state_dict().values()} == {"cuda:0"}
        trained(tmp_path / "parts", stop_after=1, **settings)
        resumed = trained(tmp_path / "parts", resume=True, **settings)
        for name, value in weights(whole).items():
            np.testing.assert_array_equal(value, weights(resumed)[name], err_msg=name)
        assert [m.test_accuracy for m in whole.history] == [m.test_accuracy for m in resumed.history]

    def test_a_checkpoint_goes_from_one_device_to_the_other(self, monkeypatch: Any, tmp_path: Path) -> None:
        use_tiny(monkeypatch)
        started = trained(tmp_path, epochs=2, stop_after=1, device="cuda")
        arrays, _ = load_checkpoint(tmp_path / "last.safetensors")
        assert {type(array) for array in arrays.values()} == {np.ndarray}
        # Which device is no part of what a run is: it may go on elsewhere.
        resumed = Trainer(config(epochs=2, device="cpu"), tmp_path, resume=True)
        assert_alike(weights(resumed), weights(started), 0)
        best = tmp_path / "best.safetensors"
        there, here = (evaluate(load_classifier(best, d).model, resumed.test_loader, d) for d in ("cuda", "cpu"))
        np.testing.assert_allclose(there, here, rtol=1e-5)


def results(name: str, device: str, dtype: str, planes: tuple[int, int] = IMAGES[2:]) -> list[np.ndarray]:
    """Run an operation on a device: its outputs, and the first and second gradients of their weighted sum.

    planes: height and width that images are to have.
    """
    function, shapes = OPERATIONS[name]
    rng = np.random.default_rng(0)
    sizes = [(*IMAGES[:2], *planes) if shape == IMAGES else shape for shape in shapes]
    arrays = [rng.standard_normal(size).astype(dtype) for size in sizes]
    xs = [ms.tensor(array, requires_grad=True, device=device) for array in arrays]
    returned = function(*xs)
    outs = list(returned) if isinstance(returned, tuple) else [returned]
    assert all(out.device.startswith(device) for out in outs)
    found = [out.numpy() for out in outs]
    rooted = [out for out in outs if out.requires_grad]
    if rooted:
        weights = [ms.tensor(rng.uniform(0.5, 1.5, out.shape), dtype=out.dtype, device=device) for out in rooted]
        found += [g.numpy() for g in ms.grad(rooted, xs, weights, retain_graph=True, allow_unused=True)]
    if rooted and dtype != "float16":  # squares would leave its range
        firsts = ms.grad(rooted, xs, weights, create_graph=True, allow_unused=True)
        squares = [(first * first).sum() for first in firsts if first.requires_grad]
        found += [g.numpy() for g in ms.grad(squares, xs, allow_unused=True)] if squares else []
    return found


def written_by(case: Case, device: str) -> list[np.ndarray]:
    """Launch a kernel as its `check:` line says, and return the arrays it may write to."""
    args = [to_device(arg.copy(), device) if isinstance(arg, np.ndarray) else arg for arg in case.args]
    # Threads that work in teams need their whole block.
    with kernel_mode("auto" if case.kernel.constants.get("LANES", 1) == 1 else "threads"):
        launch(case.kernel, case.grid, case.block, args, case.dynamic_shared)
    parameters = case.kernel.signature.parameters
    return [to_device(arg, "cpu") for p, arg in zip(parameters, args, strict=True) if p.is_array and not p.is_const]


def assert_alike(one: Any, other: Any, tolerance: float) -> None:
    """Lists or dicts of arrays: the same shapes and dtypes, integers equal, max|Δ| ≤ tolerance · max|value|."""
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
    """A model, an optimizer and a batch on a device; `take()` is one training step, and returns its loss."""

    def __init__(self, name: str, images: int, size: int, device: str, dtype: str = "float32") -> None:
        ms.manual_seed(0)
        classes = 10
        self.model = models.create(name, classes).to(device, dtype=dtype)
        self.optimizer = SGD(self.model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4, nesterov=True)
        rng = np.random.default_rng(1)
        self.x = ms.tensor(rng.standard_normal((images, 3, size, size)).astype(dtype), device=device)
        self.y = ms.tensor(rng.integers(classes, size=images), device=device)

    def take(self) -> float:
        self.optimizer.zero_grad()
        loss = ops.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def state(self) -> dict[str, np.ndarray]:
        """Weights and running statistics."""
        return {name: value.numpy().copy() for name, value in self.model.state_dict().items()}
