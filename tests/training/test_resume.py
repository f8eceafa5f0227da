"""A run that is stopped anywhere goes on with the same bits, and no failure costs the earlier checkpoint."""

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from tiny_run import assert_same_bits, config, contents, kept, tiny_net, trained, use_tiny, weights

import minisk as ms
from minisk import nn, ops
from minisk import serialization as checkpoint
from minisk.backend import random_generator, random_state, set_random_state
from minisk.cli.signals import stop_signals
from minisk.errors import CheckpointError, MiniskError
from minisk.evaluation import load_classifier
from minisk.serialization import FORMAT, load_checkpoint, save_checkpoint
from minisk.training.run_folder import hold_folder
from minisk.training.trainer import Trainer

# An epoch has 4 steps: 64 images in batches of 16.
TIMES = {"images_per_second": 0, "seconds": 0, "waiting": 0}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    use_tiny(monkeypatch)


def stop_after(asked):
    """A `stop` that says yes at the so-many-th time it is asked."""
    times = iter(range(1, 10_000))
    return lambda: next(times) >= asked


def assert_same_end(one, other):
    """The same arrays in both files, and the same metrics but for the times."""
    for name in ("last.safetensors", "best.safetensors"):
        (arrays, about), (others, theirs) = load_checkpoint(one / name), load_checkpoint(other / name)
        assert_same_bits(arrays, others)
        assert [{**row, **TIMES} for row in about["history"]] == [{**row, **TIMES} for row in theirs["history"]]
        assert about.get("random") == theirs.get("random")


class DropoutNet(nn.Module):
    """Draws random numbers in every step, beside those of the loader."""

    def __init__(self, classes):
        self.net = tiny_net("sknet_small", classes)

    def forward(self, x):
        return ops.dropout(self.net(x), 0.2, self.training)


SETTINGS = {"epochs": 2, "ema": 0.8, "clip_norm": 1.0, "accumulate": 2, "schedule": "step", "warmup_epochs": 0.5}


@pytest.mark.parametrize("asked", range(1, 15))  # every step of two epochs, and the moments around them
def test_a_run_stopped_at_any_moment_goes_on_with_the_same_bits(tmp_path, monkeypatch, asked):
    monkeypatch.setattr("minisk.models.create", lambda name, classes: DropoutNet(classes))
    trained(tmp_path / "straight", **SETTINGS)
    stopped = Trainer(config(**SETTINGS), tmp_path / "stopped")
    list(stopped.run(progress=False, stop=stop_after(asked)))
    assert not stopped.finished
    ms.manual_seed(99)  # whatever another process did before
    resumed = trained(tmp_path / "stopped", resume=True, **SETTINGS)
    assert resumed.finished and len(resumed.history) == 2
    assert_same_end(tmp_path / "straight", tmp_path / "stopped")


def test_a_run_abandoned_between_saves_goes_on_from_the_last_one(tmp_path, monkeypatch):
    straight = trained(tmp_path / "straight", epochs=2)
    crashing, steps = Trainer(config(epochs=2), tmp_path / "crashed", save_every=3), iter(range(100))
    real = crashing.train_step

    def crash_in_the_sixth_step(batch):
        if next(steps) == 5:
            raise RuntimeError("power cut")
        return real(batch)

    monkeypatch.setattr(crashing, "train_step", crash_in_the_sixth_step)
    with pytest.raises(RuntimeError, match="power cut"):
        list(crashing.run(progress=False))
    # Saved after steps 3 and 4 (the end of the epoch); the fifth is lost.
    resumed = Trainer(config(epochs=2), tmp_path / "crashed", resume=True)
    assert (resumed.state.position.epoch, resumed.state.position.step) == (2, 0)
    list(resumed.run(progress=False))
    assert_same_end(straight.out, resumed.out)


def test_saving_often_or_preparing_ahead_changes_no_bit(tmp_path):
    trained(tmp_path / "plain", epochs=2)
    often = Trainer(config(epochs=2), tmp_path / "often", save_every=1)
    often.train_loader.prefetch = 0
    list(often.run(progress=False))
    assert_same_end(tmp_path / "plain", tmp_path / "often")


def test_worker_processes_change_no_bit_also_when_resuming(tmp_path):
    settings = {"epochs": 2, "mixup": 0.4, "cutmix": 1.0, "cutout": 5, "jitter": 0.3}
    trained(tmp_path / "0", **settings)
    for workers in (1, 4):
        out = tmp_path / str(workers)
        list(Trainer(config(**settings), out, workers=workers).run(progress=False, stop=stop_after(3)))
        list(Trainer(config(**settings), out, resume=True, workers=workers).run(progress=False))
        assert_same_end(tmp_path / "0", out)


def test_a_random_state_is_json_and_brings_the_same_numbers_back():
    ms.manual_seed(3)
    random_generator().random(5)
    state = json.loads(json.dumps(random_state()))
    expected = random_generator().random(5)
    ms.manual_seed(4)
    set_random_state(state)
    np.testing.assert_array_equal(random_generator().random(5), expected)


# --- Stopping -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_is_noted_and_the_handlers_are_put_back(number):
    before = signal.getsignal(number)
    with stop_signals() as received:
        assert not received
        os.kill(os.getpid(), number)
        assert received == [number]
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_interrupts_at_once(first):
    with stop_signals():
        os.kill(os.getpid(), first)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


# --- A full disk --------------------------------------------------------------------------------------------


class Disk:
    """Stands in for `os.replace` or `os.fsync`: no space is left while `full`."""

    def __init__(self, monkeypatch, function):
        self.full, self.failures = False, 0
        real = getattr(os, function)
        monkeypatch.setattr(checkpoint.os, function, lambda *a: self.fail() if self.full else real(*a))

    def fail(self):
        self.failures += 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_temporarily_full_disk_is_reported_and_loses_nothing(tmp_path, monkeypatch, caplog, function):
    trained(tmp_path / "straight", epochs=3)
    disk = Disk(monkeypatch, function)
    trainer = Trainer(config(epochs=3), tmp_path / "run", save_every=2)
    for metrics in trainer.run(progress=False):
        before = kept(trainer.out)
        disk.full = metrics.epoch == 1  # all of the second epoch, whose weights may be the best
        if metrics.epoch == 2:
            assert disk.failures > 0 and kept(trainer.out) == before
    assert "No space left on device; the earlier one stays, training goes on" in caplog.text
    events = [json.loads(line) for line in (trainer.out / "log.jsonl").read_text().splitlines()]
    assert [e["epoch"] for e in events if e["event"] == "not saved"] == [2, 2, 3]
    assert_same_end(tmp_path / "straight", trainer.out)
    assert (trainer.out / "metrics.csv").read_text().count("\n") == 4


def test_a_disk_full_at_the_end_is_an_error_and_resuming_ends_the_run(tmp_path, monkeypatch):
    trained(tmp_path / "straight", epochs=2)
    disk = Disk(monkeypatch, "replace")
    trainer = Trainer(config(epochs=2), tmp_path / "run")
    epochs = trainer.run(progress=False)
    next(epochs)
    before, disk.full = kept(trainer.out), True
    with pytest.raises(
        CheckpointError, match=r"safetensors could not be written: No space left on device; make room, then go"
    ):
        next(epochs)
    assert kept(trainer.out) == before
    disk.full = False
    trained(tmp_path / "run", resume=True, epochs=2)
    assert_same_end(tmp_path / "straight", trainer.out)


def test_a_full_disk_at_the_stop_is_an_error(tmp_path, monkeypatch):
    disk = Disk(monkeypatch, "replace")
    epochs = (trainer := Trainer(config(epochs=2), tmp_path)).run(progress=False, stop=lambda: disk.full)
    next(epochs)
    before, disk.full = kept(tmp_path), True
    with pytest.raises(CheckpointError, match=r"last\.safetensors could not be written: No space left"):
        next(epochs)
    assert kept(trainer.out) == before


def test_a_full_disk_at_the_start_is_reported_with_the_folder(tmp_path, monkeypatch):
    Disk(monkeypatch, "replace").full = True
    with pytest.raises(MiniskError, match=r"output folder .* can't be written to: No space left on device"):
        list(Trainer(config(), tmp_path).run(progress=False))


# --- Checkpoints that are not what they should be -----------------------------------------------------------


def test_a_checkpoint_cut_anywhere_is_not_resumed_from(tmp_path):
    trained(tmp_path)
    last = tmp_path / "last.safetensors"
    whole = last.read_bytes()
    for length in np.linspace(0, len(whole) - 1, 12, dtype=int).tolist():
        last.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"last\.safetensors is damaged or not a safetensors file"):
            Trainer(config(), tmp_path, resume=True)
        assert last.read_bytes() == whole[:length]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays, about: about.pop("state"), "lacks a part that resuming needs: 'state'"),
        (lambda arrays, about: about.pop("random"), "lacks a part that resuming needs: 'random'"),
        (lambda arrays, about: about.update(random={"seed": 0, "cpu": 7}), "does not fit: random.cpu is 7"),
        (lambda arrays, about: about["state"].update(later=1), "lacks a part that resuming needs: .*later"),
        (lambda arrays, about: arrays.pop("average.classifier.weight"), "lacks .*: 'classifier.weight'"),
        (lambda arrays, about: arrays.pop("model.classifier.weight"), "1 missing: classifier.weight"),
        (lambda arrays, about: arrays.update({"optimizer.999.velocity": np.ones(1)}), "lacks a part"),
        (lambda arrays, about: about["config"].pop("lr"), "other settings: --lr None is now 0.1"),
    ],
)
def test_a_checkpoint_without_its_parts_is_not_resumed_from(tmp_path, change, message):
    trained(tmp_path, epochs=2, ema=0.5, stop_after=1)
    arrays, about = load_checkpoint(tmp_path / "last.safetensors")
    change(arrays, about)
    save_checkpoint(tmp_path / "last.safetensors", arrays, about)
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        Trainer(config(epochs=2, ema=0.5), tmp_path, resume=True)
    assert contents(tmp_path) == before


def test_a_checkpoint_of_a_newer_format_is_not_resumed_from(tmp_path, monkeypatch):
    trained(tmp_path)
    arrays, about = load_checkpoint(tmp_path / "last.safetensors")
    monkeypatch.setattr(checkpoint, "FORMAT", FORMAT + 1)
    save_checkpoint(tmp_path / "last.safetensors", arrays, about)
    monkeypatch.undo()
    use_tiny(monkeypatch)
    with pytest.raises(CheckpointError, match=rf"has format {FORMAT + 1}; this minisk reads up to {FORMAT}"):
        Trainer(config(), tmp_path, resume=True)


def test_a_checkpoint_gives_the_averaged_weights_that_were_tested(tmp_path):
    trainer = trained(tmp_path, ema=0.5)
    for name in ("last.safetensors", "best.safetensors"):
        model = load_classifier(tmp_path / name, "cpu").model
        found = {key: value.numpy() for key, value in model.state_dict().items()}
        assert_same_bits(found, trainer.average.arrays)
    assert not np.array_equal(found["classifier.weight"], weights(trainer)["classifier.weight"])


# --- Two processes, one folder ------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from minisk.training.run_folder import hold_folder
with hold_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_and_takes_over_when_the_first_is_dead(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        before = contents(tmp_path)
        with pytest.raises(MiniskError, match=rf"another process \(number {other.pid}\) is training into "):
            trained(tmp_path)
        assert contents(tmp_path) == before
        other.kill()
        other.wait()
    (tmp_path / ".last.safetensors.1.partial").write_bytes(b"half")  # what it was writing when it died
    assert len(trained(tmp_path).history) == 1
    assert not list(tmp_path.glob(".*.partial"))


def test_a_lock_is_free_again_after_its_holder_left(tmp_path):
    for _ in range(2):
        with hold_folder(tmp_path), pytest.raises(MiniskError, match="another process"), hold_folder(tmp_path):
            pass


def test_a_folder_that_another_process_trained_into_meanwhile_is_left_alone(tmp_path):
    waiting = Trainer(config(), tmp_path)
    trained(tmp_path)
    before = kept(tmp_path)
    with pytest.raises(CheckpointError, match=r"last\.safetensors was changed by another process"):
        list(waiting.run(progress=False))
    assert kept(tmp_path) == before


def test_the_history_survives_resuming_as_it_was(tmp_path):
    stopped = trained(tmp_path, epochs=2, stop_after=1)
    resumed = Trainer(config(epochs=2), tmp_path, resume=True)
    assert resumed.history == stopped.history
    assert dataclasses.asdict(resumed.state.position)["epoch"] == 2
