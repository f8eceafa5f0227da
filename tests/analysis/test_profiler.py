"""ms.profile: which operations are timed, under which names, and that no hook remains."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from cupy_standin import installed
from tiny_run import use_tiny

import minisk as ms
from minisk import nn, ops


class Net(nn.Module):
    def __init__(self) -> None:
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.Linear(4, 5)

    def forward(self, x: ms.Tensor) -> ms.Tensor:
        return self.head(ops.global_avg_pool2d(self.norm(self.conv(x))))


def profiled(device: str = "cpu", needs_grad: bool = True) -> tuple[Net, ms.Profile]:
    model = Net().to(device)
    x = ms.tensor(np.ones((2, 3, 6, 5), np.float32), device=device, requires_grad=needs_grad)
    target = ms.tensor([0, 1], device=device)
    with ms.profile(model) as found:
        ops.cross_entropy(model(x), target).backward()
    return model, found


def test_there_is_an_event_for_each_operation_and_its_backward():
    _, found = profiled()
    outermost = {(event.layer, event.name, event.cat): event for event in found.events if event.is_outermost}
    macs = 2 * 4 * 6 * 5 * 3 * 9
    assert outermost["conv", "conv2d", "forward"].flops == 2 * macs
    assert outermost["conv", "conv2d", "backward"].flops == 4 * macs
    assert outermost["head", "matmul", "forward"].flops == 2 * 2 * 4 * 5
    assert outermost["norm", "batch_norm", "backward"].flops == 0
    assert outermost["model", "global_avg_pool2d", "forward"].bytes == 4 * (2 * 4 * 6 * 5 + 2 * 4)
    assert outermost["-", "cross_entropy", "backward"].dur > 0
    inner = {(event.name, event.layer, event.cat) for event in found.events if not event.is_outermost}
    assert ("conv2d_weight_grad", "-", "backward") in inner


def test_backward_counts_half_the_flops_where_the_images_need_no_gradient():
    _, found = profiled(needs_grad=False)
    (backward,) = (e for e in found.events if e.name == "conv2d" and e.cat == "backward")
    assert backward.flops == 2 * 2 * 4 * 6 * 5 * 3 * 9


def test_outermost_events_do_not_overlap_and_fit_in_the_block():
    _, found = profiled()
    outermost = [event for event in found.events if event.is_outermost]
    assert 0 < sum(event.dur for event in outermost) <= 1e6 * found.seconds
    for earlier, later in itertools.pairwise(outermost):
        assert earlier.ts + earlier.dur <= later.ts + 1e-3


def test_the_table_names_operations_and_layers():
    lines = str(profiled()[1]).splitlines()
    assert lines[1].split() == ["operation", *["calls", "ms", "GF/s", "GB/s"] * 2]
    rows = {line.split("  ")[0]: line for line in lines}
    assert {"conv2d", "conv, conv2d", "head, matmul", "-, cross_entropy"} <= rows.keys()
    assert rows["conv2d"][40:48].split() == ["1"]
    assert lines[-1].startswith("outside operations")


def test_the_table_by_layer_ends_after_twenty_rows():
    model = nn.Sequential(*[nn.ReLU() for _ in range(25)])
    with ms.profile(model) as found:
        model(ms.tensor([1.0]))
    assert "and 5 more" in str(found)
    assert str(found).count(", relu") == 20


def test_the_trace_has_the_fields_of_chromes_format_and_nests_inner_events(tmp_path):
    _, found = profiled()
    found.save_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert len(events) == len(found.events)
    outer = next(e for e in events if e["name"] == "conv2d" and e["cat"] == "backward")
    inner = next(e for e in events if e["name"] == "conv2d_weight_grad")
    assert outer["ph"] == "X" and outer["ts"] <= inner["ts"]
    assert inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"]
    assert outer["args"]["layer"] == "conv"


def hooks_of(model: nn.Module) -> list[object]:
    kinds = ("forward_hooks", "forward_pre_hooks")
    return [hook for module in model.modules() for kind in kinds for hook in vars(module).get(kind, ())]


def test_no_hook_and_no_observer_remain_even_after_an_error():
    model = Net()
    with pytest.raises(ms.ShapeError), ms.profile(model) as found:
        assert hooks_of(model)
        model(ms.ones((1, 2, 4, 4)))
    assert hooks_of(model) == []
    ms.ones(2) + 1.0
    assert found.events == []


def test_a_module_used_twice_has_its_first_name_and_profiles_can_be_nested():
    shared = nn.Linear(3, 3)
    model, x = nn.Sequential(shared, shared), ms.tensor(np.ones((1, 3), np.float32))
    with ms.profile(model) as outer:
        with ms.profile(model) as inner:
            model(x)
        model(x)
    assert [event.name for event in inner.events].count("matmul") == 2
    assert [event.name for event in outer.events].count("matmul") == 4
    assert {event.layer for event in outer.events} == {"0"}
    assert hooks_of(model) == []


def test_an_error_in_a_layer_does_not_change_the_layer_of_later_events():
    model = nn.Sequential(nn.ReLU(), nn.Linear(3, 2))
    with ms.profile(model) as found:
        with pytest.raises(ms.ShapeError):
            model(ms.ones((1, 4)))
        ms.ones(2) + 1.0
    assert [(event.name, event.layer) for event in found.events] == [("relu", "0"), ("add", "-")]


class Failing(ms.Function):
    """Its forward and its backward run an operation, and then raise an error where asked to."""

    @staticmethod
    def forward(ctx, x, *, fails):
        ctx.save_for_backward(x)
        out = ms.Tensor(x) * 2.0
        if fails:
            raise ms.ShapeError("forward")
        return out.data

    @staticmethod
    def backward(ctx, dout):
        dout * 2.0
        raise ms.ShapeError("backward")


def test_operations_after_one_that_raised_an_error_are_outermost():
    x = ms.tensor([1.0], requires_grad=True)
    with ms.profile() as found:
        with pytest.raises(ms.ShapeError, match="forward"):
            Failing.apply(x, fails=True)
        y = Failing.apply(x, fails=False)
        with pytest.raises(ms.ShapeError, match="backward"):
            y.backward()
        x + 1.0
    events = [(event.name, event.cat, event.is_outermost) for event in found.events]
    inner, outer = ("mul", "forward", False), ("failing", "forward", True)
    assert events[1:3] == [inner, outer]
    assert events[-1] == ("add", "forward", True)


def test_operations_of_a_recomputed_module_are_inside_its_event_in_both_directions():
    model, x = nn.Sequential(nn.ReLU(), nn.ReLU()), ms.tensor([1.0, -1.0], requires_grad=True)
    with ms.profile(model) as found:
        nn.recompute(model, x).sum().backward()
    inner = [(event.name, event.layer, event.cat) for event in found.events if not event.is_outermost]
    assert inner[:2] == [("relu", "0", "forward"), ("relu", "1", "forward")]
    assert {cat for _, _, cat in inner[2:]} == {"backward"} and ("relu", "1", "backward") in inner[2:]
    assert [event.name for event in found.events if event.is_outermost and event.cat == "forward"] == [
        "recompute",
        "sum",
    ]


def test_a_gpu_is_synchronised_once_for_each_event():
    with installed() as ledger:
        ledger.clear()
        _, found = profiled("cuda")
        waits = [line for line in ledger.syncs if "profiler.py" in line]
    assert len(waits) == len(found.events) > 0


def test_the_profile_option_of_training_prints_the_table_and_writes_the_trace(tmp_path, monkeypatch, capsys):
    from minisk.cli import train as train_cifar

    use_tiny(monkeypatch)
    out = tmp_path / "run"
    flags = ["--dataset", "shapes", "--model", "sknet_small", "--batch-size", "2", "--profile", "--out", str(out)]
    assert train_cifar.main(flags) == 0
    printed = capsys.readouterr().out
    rows = {line[:40].strip(): line[40:].split() for line in printed.splitlines()}
    assert rows["cross_entropy"][0] == "10" and "outside operations" in printed
    assert json.loads((out / "trace.json").read_text())["traceEvents"]
    assert not (out / "last.safetensors").exists()
