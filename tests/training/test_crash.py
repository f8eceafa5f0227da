"""tools/crash_test.py, small: real processes, really killed. `python tools/crash_test.py` is the whole proof."""

import random
import resource
import signal

import crash_test
import pytest


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """An uninterrupted run of twelve steps, and what is needed to disturb others like it."""
    settings = "--train-images 24 --test-images 8 --batch-size 8 --epochs 4 --save-every 1 --ema 0.9 --device cpu"
    trial = crash_test.Trial(settings.split(), tmp_path_factory.mktemp("crash"), random.Random(0))
    trial.straight()
    return trial


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_runs_that_are_killed_end_with_the_same_bits(trial, number):
    for out in crash_test.kill(trial, 2, 0.9 * trial.seconds, number):
        assert crash_test.compare(trial.work / "straight", out) > 100


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")
def test_a_run_on_a_full_disk_ends_with_a_sentence_and_then_with_the_same_bits(trial):
    out = trial.work / "full"
    crash_test.disk(trial, out, crash_test.stop_growth, lambda: None)
    assert crash_test.compare(trial.work / "straight", out) > 100


def test_a_difference_of_one_bit_is_found(trial, tmp_path):
    for name in ("last.safetensors", "best.safetensors"):
        content = bytearray((trial.work / "straight" / name).read_bytes())
        content[-1] ^= 1
        (tmp_path / name).write_bytes(content)
    with pytest.raises(crash_test.Failed, match=r"last\.safetensors of .*: 1 of \d+ arrays differ"):
        crash_test.compare(trial.work / "straight", tmp_path)
