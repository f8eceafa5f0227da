"""The path of a GPU, end to end, on a strict stand-in for CuPy: no GPU is needed, and none is used."""

import json
import re

import numpy as np
import pytest
from cupy_standin import installed
from device_suite import OPERATIONS, TOGETHER, TOLERANCE, Step, assert_alike, results
from PIL import Image
from tiny_run import SPLITS, config, trained, use_tiny, weights

import minisk as ms
from minisk import nn, ops
from minisk.__main__ import main
from minisk.checkpoint import load_checkpoint
from minisk.commands import info
from minisk.errors import DeviceError, ShapeError
from minisk.optim import AdamW
from minisk.train import Trainer, evaluate_checkpoint


@pytest.fixture(autouse=True)
def ledger():
    with installed() as ledger:
        yield ledger


# --- Operations ----------------------------------------------------------------------------------------------


def test_every_operation_is_among_those_compared():
    named = {name.partition(" ")[0] for name in OPERATIONS} | TOGETHER.keys()
    assert named == set(ops.__all__)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_and_its_derivatives_are_those_of_the_cpu(name, dtype):
    assert_alike(results(name, "cuda", dtype), results(name, "cpu", dtype), TOLERANCE[dtype])


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_waits_for_nothing(name, ledger):
    function, shapes = OPERATIONS[name]
    xs = [ms.tensor(np.ones(shape, np.float32), requires_grad=True, device="cuda") for shape in shapes]
    ledger.clear()
    returned = function(*xs)
    outs = [out for out in (returned if isinstance(returned, tuple) else [returned]) if out.requires_grad]
    if outs:
        ms.grad(outs, xs, [out.detach() for out in outs], allow_unused=True)
    # But how many values a mask picks, and what is asked to move to the CPU, is known only when it is there.
    assert not ledger.syncs or name in ("get_item", "to")


def test_tensors_of_different_devices_do_not_meet():
    with pytest.raises(DeviceError, match="add: tensors on different devices: cuda:0, cpu"):
        ms.tensor([1.0], device="cuda") + ms.tensor([1.0])
    with pytest.raises(DeviceError, match="mul: tensors on different devices: cuda:0, cuda:1"):
        ms.tensor([1.0], device="cuda") * ms.tensor([1.0], device="cuda:1")


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(DeviceError, match="device 'cuda:2' asked for, but there are 2"):
        ms.tensor([1.0], device="cuda:2")


def test_a_tensor_shows_its_values_and_device():
    x = ms.tensor([1.0, 2.0], requires_grad=True, device="cuda:0")
    assert repr(x) == "tensor([1., 2.], dtype=float32, device='cuda:0', requires_grad=True)"
    assert float(x[0]) == 1.0 and bool(x[1] > 1) and [v.item() for v in x] == [1, 2]
    assert np.asarray(x).tolist() == [1, 2] and len({x, x}) == 1
    assert ms.tensor(x).device == "cuda:0" and ms.tensor(x, device="cpu").device == "cpu"


def test_errors_are_minisks_own():
    x = ms.tensor(np.ones((2, 3)), device="cuda")
    for wrong in (lambda: x.reshape(5), lambda: x[7], lambda: x @ x, lambda: x + ms.tensor(np.ones(4), device="cuda")):
        with pytest.raises(ShapeError):
            wrong()


def test_dropout_draws_from_the_devices_own_generator():
    def drawn():
        ms.manual_seed(4)
        return ops.dropout(ms.tensor(np.ones(200), device="cuda"), 0.25).numpy()

    first = drawn()
    assert set(first.tolist()) == {0.0, 1 / 0.75} and 20 < (first == 0).sum() < 80
    np.testing.assert_array_equal(first, drawn())


def test_adamw_takes_the_cpus_steps(ledger):
    ends = []
    for device in ("cpu", "cuda"):
        x = ms.tensor(np.linspace(-1, 1, 5), requires_grad=True, device=device)
        optimizer = AdamW([x], lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            (x * x).sum().backward()
            optimizer.step()
        ends.append(x.detach().to("cpu").numpy())
    assert ledger.syncs == ["device.py:" + ledger.syncs[0].partition(":")[2]]  # the one `to("cpu")`
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-12)


def test_gradcheck_checks_a_layer_where_it_is():
    layer = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3)).to("cuda")
    x = ms.tensor(np.random.default_rng(0).standard_normal((2, 2, 3, 3)), device="cuda")
    report = ms.gradcheck(layer, x, mode="fast")
    assert report.ok and {p.device for p in layer.parameters()} == {"cuda:0"}


def test_anomalies_are_found_there_too():
    x = ms.tensor([0.0, 1.0], requires_grad=True, device="cuda")
    with ms.detect_anomaly(), pytest.raises(ms.errors.NotFiniteError, match="gradient of input 0"):
        (ops.sqrt(x) * 1.0).sum().backward()


# --- Training ------------------------------------------------------------------------------------------------


def test_a_training_step_of_sknet29_waits_for_the_loss_alone(ledger):
    step = Step("sknet29", images=2, size=32, device="cuda")
    ledger.clear()
    loss = step.take()
    (wait,) = ledger.syncs
    assert wait.endswith("in item") and np.isfinite(loss)
    launches = {"kernels": sum(ledger.kernels.values()), "operations": sum(ledger.operations.values())}
    print(launches, ledger.kernels, ledger.operations)
    assert launches["kernels"] + launches["operations"] < 8000


def test_training_steps_are_those_of_the_cpu():
    losses, states = [], []
    for device in ("cpu", "cuda"):
        step = Step("sknet_small", images=4, size=32, device=device)
        losses.append([step.take() for _ in range(2)])
        states.append(step.state())
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    assert_alike(list(states[1].values()), list(states[0].values()), 1e-3)


def test_a_step_on_the_second_gpu_stays_there():
    losses = {}
    for device in ("cuda:0", "cuda:1"):
        step = Step("sknet_small", images=2, size=32, device=device)
        losses[device] = step.take(), step.take()
        arrays = [*step.model.parameters(), *step.model.buffers(), *(p.grad for p in step.model.parameters())]
        assert {array.device for array in arrays} == {device}
        assert {str(v.device.id) for state in step.optimizer.state for v in state.values()} == {device[-1]}
    assert losses["cuda:0"] == losses["cuda:1"]


def test_a_run_trains_evaluates_stops_and_resumes(monkeypatch, tmp_path):
    use_tiny(monkeypatch)
    settings = {"epochs": 2, "ema": 0.8, "clip_norm": 1.0, "accumulate": 2, "label_smoothing": 0.1}
    whole = trained(tmp_path / "whole", device="cuda", **settings)
    assert {value.device for value in whole.model.state_dict().values()} == {"cuda:0"}
    trained(tmp_path / "parts", stop_after=1, device="cuda", **settings)
    resumed = trained(tmp_path / "parts", resume=True, device="cuda", **settings)
    on_cpu = trained(tmp_path / "cpu", **settings)
    for name, value in weights(whole).items():
        np.testing.assert_array_equal(value, weights(resumed)[name], err_msg=name)
    assert_alike(list(weights(whole).values()), list(weights(on_cpu).values()), 5e-3)
    assert [m.test_accuracy for m in whole.history] == [m.test_accuracy for m in resumed.history]
    told = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert told[0]["device"] == "cuda"


def test_a_checkpoint_goes_from_one_device_to_the_other(monkeypatch, tmp_path):
    use_tiny(monkeypatch)
    started = trained(tmp_path, epochs=2, stop_after=1, device="cuda")
    arrays, _ = load_checkpoint(tmp_path / "last.safetensors")
    assert {type(array) for array in arrays.values()} == {np.ndarray}
    # Which device is no part of what a run is: it may go on elsewhere.
    resumed = Trainer(config(epochs=2, device="cpu"), tmp_path, resume=True)
    assert_alike(list(weights(resumed).values()), list(weights(started).values()), 0)
    there, here = (evaluate_checkpoint(tmp_path / "best.safetensors", "shapes", None, d) for d in ("cuda", "cpu"))
    np.testing.assert_allclose(there, here, rtol=1e-5)


# --- Commands ------------------------------------------------------------------------------------------------


def test_info_names_the_gpu():
    assert info.gather()["devices"][1:] == [f"cuda:{i}: stand-in for a GPU, 1.0 GiB" for i in range(2)]


def test_predict_and_evaluate_compute_there(monkeypatch, tmp_path, capsys, ledger):
    use_tiny(monkeypatch)
    monkeypatch.setattr("minisk.data.load_dataset", lambda name, data_dir, split: SPLITS[split])
    trained(tmp_path, device="cpu")
    Image.fromarray(np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)).save(tmp_path / "x.png")
    answers = {}
    for device in ("cpu", "cuda"):
        ledger.clear()
        arguments = ["--weights", str(tmp_path / "best.safetensors"), "--device", device]
        assert main(["predict", str(tmp_path / "x.png"), "--json", *arguments]) == 0
        assert main(["evaluate", *arguments]) in (0, None)
        answers[device] = re.findall(r"\d+\.\d+", capsys.readouterr().out)
        assert bool(ledger.operations) == (device == "cuda")
    np.testing.assert_allclose([*map(float, answers["cuda"])], [*map(float, answers["cpu"])], rtol=1e-3, atol=1e-3)
