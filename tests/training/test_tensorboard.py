"""The scalars of a run for TensorBoard: complete, each step once also after a resume; they never stop training."""

import os
import shutil
import struct
from itertools import islice

import pytest
from tiny_run import config, use_tiny

from minisk.training import Trainer
from minisk.training.run_folder import EventFile

pytest.importorskip("tensorboardX")

TAGS = {"step/loss", "step/gradient_norm", "step/lr", "epoch/lr", "epoch/train_loss", "epoch/train_accuracy"}
TAGS |= {"epoch/test_loss", "epoch/test_accuracy", "epoch/images_per_second", "epoch/seconds", "epoch/waiting"}
STEPS = 4  # of an epoch: 64 images in batches of 16


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    use_tiny(monkeypatch)


def events_of(path):
    """Return the events of a file: each is its length, a checksum, the event and another checksum."""
    from tensorboardX.proto.event_pb2 import Event

    content, events = path.read_bytes(), []
    while content:
        (size,) = struct.unpack("<Q", content[:8])
        events.append(Event.FromString(content[12 : 12 + size]))
        content = content[16 + size :]
    return events


def shown(folder):
    """Return the scalars as TensorBoard shows them: {tag: [(step, value)]}.

    Files are read in the order of their names. A session's start drops what earlier events said of its step and later.
    """
    from tensorboardX.proto.event_pb2 import SessionLog

    scalars = {}
    for path in sorted((folder / "tensorboard").iterdir()):
        for event in events_of(path):
            if event.session_log.status == SessionLog.START:
                scalars = {tag: [p for p in points if p[0] < event.step] for tag, points in scalars.items()}
            for value in event.summary.value:
                scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
    return scalars


def run(folder, resume=False, stop_after=None, epochs=3):
    trainer = Trainer(config(epochs=epochs), folder, resume, log_every=1, tensorboard=True)
    list(islice(trainer.run(progress=False), stop_after))


def steps_of(scalars):
    return {tag: [step for step, _ in points] for tag, points in scalars.items()}


def test_every_step_and_every_epoch_has_its_scalars(tmp_path):
    run(tmp_path)
    steps = steps_of(shown(tmp_path))
    assert steps.keys() == TAGS
    assert steps["step/loss"] == list(range(1, 3 * STEPS + 1))
    assert steps["epoch/test_loss"] == [STEPS, 2 * STEPS, 3 * STEPS]


def test_a_resumed_run_shows_no_step_twice_and_the_numbers_of_an_uninterrupted_one(tmp_path):
    """The second part trains beyond the checkpoint that the third goes on from, as a run does that is killed."""
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    run(straight)
    run(resumed, stop_after=1)
    shutil.copy(resumed / "last.safetensors", tmp_path / "early.safetensors")
    run(resumed, resume=True, stop_after=1)
    shutil.copy(tmp_path / "early.safetensors", resumed / "last.safetensors")
    run(resumed, resume=True)
    assert len(list((resumed / "tensorboard").iterdir())) == 3
    expected, found = shown(straight), shown(resumed)
    assert steps_of(found) == steps_of(expected)
    timed = {"epoch/images_per_second", "epoch/seconds", "epoch/waiting"}
    for tag in TAGS - timed:
        assert found[tag] == expected[tag], tag


def test_scalars_are_on_the_disk_at_once(tmp_path):
    file = EventFile(tmp_path / "tensorboard", first_step=1)
    file.add({"step/loss": 0.5}, 1)
    assert shown(tmp_path) == {"step/loss": [(1, 0.5)]}
    file.close()


def test_a_full_disk_does_not_stop_training(tmp_path, monkeypatch, caplog):
    """tensorboardX's own writer would wait for a thread that has ended."""
    from tensorboardX.record_writer import RecordWriter

    def full(self):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(RecordWriter, "flush", full)
    run(tmp_path, epochs=1)
    assert (tmp_path / "best.safetensors").exists()
    (warning,) = [record.getMessage() for record in caplog.records if "tensorboard" in record.getMessage()]
    assert warning.endswith("tensorboard could not be written: No space left on device; training goes on")
