"""The path of a GPU, end to end, on a strict stand-in for CuPy: no GPU is needed, and none is used."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from cupy_standin import installed
from device_suite import IMAGE_CASES, TOLERANCE, DeviceSuite, Step, assert_alike, results
from operation_cases import CASES
from parity import as_list
from PIL import Image
from tiny_run import SPLITS, config, trained, use_tiny

import minisk as ms
from minisk.__main__ import main
from minisk.backend import device
from minisk.cli import info
from minisk.errors import DeviceError
from minisk.training.trainer import Trainer

# At most so many launches, of kernels and of CuPy's functions together, for a training step of SKNet-29.
MOST_LAUNCHES = 1850
REAL_PROBE = device.cuda_available.__wrapped__


@pytest.fixture(autouse=True)
def ledger():
    with installed() as ledger:
        yield ledger


class TestStandIn(DeviceSuite):
    """All that a GPU has to do."""


@pytest.mark.parametrize("case", IMAGE_CASES, ids=str)
def test_kernels_are_right_with_every_thread_of_a_block(case):
    with installed(mode="threads"):
        assert_alike(results(case, "cuda", "float32"), results(case, "cpu", "float32"), TOLERANCE["float32"])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_operation_never_waits_for_the_gpu(case, ledger):
    xs = [ms.tensor(np.ones(shape, np.float32), requires_grad=True, device="cuda") for shape in case.shapes]
    ledger.clear()
    outs = [out for out in as_list(case.function(*xs)) if out.requires_grad]
    if outs:
        ms.grad(outs, xs, [out.detach() for out in outs], allow_unused=True)
    # A mask waits to learn how many elements it selects; a move to the CPU waits for the values.
    assert not ledger.syncs or case.name == "get_item by a mask" or case.operation == "to"


def test_a_training_step_of_sknet29_waits_only_for_the_loss(ledger):
    step = Step("sknet29", images=2, size=32, device="cuda")
    ledger.clear()
    loss = step.take()
    (wait,) = ledger.syncs
    assert wait.endswith("in item") and np.isfinite(loss)
    kernels, operations = (sum(counts.values()) for counts in (ledger.kernels, ledger.operations))
    print(f"a training step of SKNet-29: {kernels} kernels, {operations} calls of CuPy's functions")
    assert kernels > 0 and kernels + operations <= MOST_LAUNCHES


def test_the_number_of_launches_does_not_grow_with_the_batch(ledger):
    launched = []
    for images in (2, 6):
        step = Step("sknet_small", images=images, size=32, device="cuda")
        ledger.clear()
        step.take()
        launched.append((dict(ledger.kernels), dict(ledger.operations)))
    (few_kernels, few), (many_kernels, many) = launched
    assert few_kernels == many_kernels
    # A weight gradient whose batch is cut into slices adds them up afterwards.
    assert 0 <= sum(many.values()) - sum(few.values()) <= 2 * few_kernels["correlate"]


def test_a_run_waits_once_for_each_training_step_and_each_test_batch(monkeypatch, tmp_path, ledger):
    use_tiny(monkeypatch)
    waits = []
    for epochs in (1, 2):
        run = Trainer(
            config(epochs=epochs, device="cuda", clip_norm=0.1, accumulate=2, ema=0.9), tmp_path / str(epochs)
        )
        ledger.clear()
        monkeypatch.setattr(Trainer, "_save", lambda self, must=False: None)  # which has to have all weights
        list(run.run(progress=False))
        waits.append(len(ledger.syncs))
    assert (waits, len(run.train_loader), len(run.test_loader)) == ([5, 10], 4, 1)


def test_a_step_on_the_second_gpu_stays_on_it():
    losses = {}
    for gpu in ("cuda:0", "cuda:1"):
        step = Step("sknet_small", images=2, size=32, device=gpu)
        losses[gpu] = step.take(), step.take()
        arrays = [*step.model.parameters(), *step.model.buffers(), *(p.grad for p in step.model.parameters())]
        assert {array.device for array in arrays} == {gpu}
        assert {str(v.device.id) for state in step.optimizer.state for v in state.values()} == {gpu[-1]}
    assert losses["cuda:0"] == losses["cuda:1"]
    with pytest.raises(DeviceError, match="mul: tensors on different devices: cuda:0, cuda:1"):
        ms.tensor([1.0], device="cuda") * ms.tensor([1.0], device="cuda:1")


def test_a_broken_cupy_leaves_the_cpu_in_use(monkeypatch, tmp_path, caplog):
    (tmp_path / "cupy.py").write_text("raise RuntimeError('built for another CUDA')")
    monkeypatch.delitem(sys.modules, "cupy")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(device.ctypes, "CDLL", lambda name: None)
    assert REAL_PROBE() is False
    assert "CuPy can't be used, the CPU is: built for another CUDA" in caplog.text


def test_info_names_the_gpus():
    assert info.gather()["devices"][1:] == [f"cuda:{i}: stand-in for a GPU, 1.0 GiB" for i in range(2)]


def test_predict_and_evaluate_compute_on_the_gpu(monkeypatch, tmp_path, capsys, ledger):
    use_tiny(monkeypatch)
    monkeypatch.setattr("minisk.data.load_dataset", lambda name, data_dir, split, view: SPLITS[split])
    trained(tmp_path, device="cpu")
    Image.fromarray(np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)).save(tmp_path / "x.png")
    answers = {}
    for where in ("cpu", "cuda"):
        ledger.clear()
        arguments = ["--weights", str(tmp_path / "best.safetensors"), "--device", where]
        assert main(["predict", str(tmp_path / "x.png"), "--json", *arguments]) == 0
        assert main(["evaluate", *arguments]) in (0, None)
        answers[where] = [float(number) for number in re.findall(r"\d+\.\d+", capsys.readouterr().out)]
        assert bool(ledger.operations) == (where == "cuda")
    np.testing.assert_allclose(answers["cuda"], answers["cpu"], rtol=1e-3, atol=1e-3)


@pytest.fixture
def benchmark(monkeypatch):
    folder = Path(__file__).parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    specification = importlib.util.spec_from_file_location("benchmark_gpu", folder / "gpu.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_benchmark_runs(benchmark, capsys):
    sizes = ["--images", "2", "--channels", "32", "--pixels", "8", "--megabytes", "1", "--matrix", "64"]
    benchmark.main([*sizes, "--model", "sknet_small", "--batch-size", "2", "--rounds", "1"])
    printed = capsys.readouterr().out
    for name in benchmark.jobs(1, 32, 8):
        assert re.search(rf"^{re.escape(name)} +[\d.]+ µs, +[\d.]+ % of ", printed, re.MULTILINE), printed
    assert "sknet_small, batch 2" in printed


def test_the_benchmark_says_when_there_is_no_gpu(benchmark, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "cuda_available", lambda: False)
    benchmark.main([])
    assert capsys.readouterr().out == "no GPU\n"
