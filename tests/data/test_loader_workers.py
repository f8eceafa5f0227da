"""The Loader's worker processes: the same bits, every failure reported, and nothing left behind."""

import contextlib
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from data_samples import assert_same_batches, numbered_dataset

from minisk.data import Augment, Loader, Mix, processes
from minisk.errors import DataError

REPOSITORY = Path(__file__).parents[2]
EVERYTHING = Augment(crop_padding=2, cutout=3, jitter=0.4)


# What workers call must be importable: these are, under the name of this module.


def leave_alone(images, rng):
    return images


def fail(images, rng):
    raise ArithmeticError("an augmentation that fails")


def refuse(images, rng):
    raise DataError("an augmentation that refuses")


def leave(images, rng):
    raise SystemExit(3)


def die(images, rng):
    os.kill(os.getpid(), signal.SIGKILL)


def shrink(images, rng):
    return images[:, :, 1:]


def never_end(images, rng):
    signal.pause()


def loader(workers, *, prefetch=2, mix=None, augment=EVERYTHING, batch_size=4):
    dataset = numbered_dataset(25)
    return Loader(
        dataset, batch_size, shuffle=True, augment=augment, seed=1, prefetch=prefetch, workers=workers, mix=mix
    )


def long_epoch(workers):
    """Batches of 200 kB, which a pipe does not hold, so that workers are at work until the end."""
    return Loader(numbered_dataset(25, side=128), 1, workers=workers).epoch(0)


def shared_bytes():
    """Size of the files without a name that this process has mapped: the shared memory."""
    lines = Path("/proc/self/maps").read_text(errors="surrogateescape").splitlines()
    ranges = [line.split()[0].split("-") for line in lines if "/pym-" in line]
    return sum(int(end, 16) - int(start, 16) for start, end in ranges)


def own_files():
    """Files in shared memory that this process made; multiprocessing puts the process number in their names."""
    return [name for name in os.listdir("/dev/shm") if name.startswith(f"pym-{os.getpid()}-")]


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    gc.collect()
    assert multiprocessing.active_children() == []
    assert own_files() == []


@pytest.mark.parametrize(("workers", "prefetch"), [(1, 3), (4, 0), (4, 100)])
def test_workers_change_no_bit(workers, prefetch):
    for mix in (None, Mix(25, mixup=0.4, cutmix=1.0)):
        expected = list(loader(0, prefetch=0, mix=mix).epoch(3, start=1))
        assert_same_batches(loader(workers, prefetch=prefetch, mix=mix).epoch(3, start=1), expected)


def test_images_may_come_out_of_an_augmentation_in_another_size():
    expected = list(loader(0, augment=shrink).epoch(0))
    assert expected[0][0].shape == (4, 3, 7, 8)
    assert_same_batches(loader(2, augment=shrink).epoch(0), expected)


def test_with_a_mix_batches_carry_targets():
    for workers in (0, 1):
        images, targets = next(loader(workers, mix=Mix(25, mixup=1.0)).epoch(0))
        assert (images.dtype, targets.dtype, targets.shape) == (np.float32, np.float32, (4, 25))


def test_batches_kept_are_not_overwritten_by_later_ones():
    batches = loader(1, prefetch=1, augment=None, batch_size=1).epoch(0)
    kept = list(batches)
    assert sorted(int(labels[0]) for _, labels in kept) == list(range(25))
    assert_same_batches(kept, loader(0, augment=None, batch_size=1).epoch(0))


def test_shared_memory_is_given_back():
    # multiprocessing keeps up to a few MB for the next time, so more than that is needed to see it.
    before = shared_bytes()
    batches = Loader(numbered_dataset(100, side=256), 4, workers=1).epoch(0)
    next(batches)
    assert shared_bytes() >= before + 100 * 3 * 256 * 256
    batches.close()
    assert shared_bytes() < before + (8 << 20)


def test_an_epoch_without_batches_starts_nothing():
    assert list(loader(2).epoch(0, start=7)) == []
    loader(2).epoch(0)  # nor does one that is never begun


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (fail, "batch 0 failed in a worker process: ArithmeticError: an augmentation that fails"),
        (refuse, "batch 0 failed in a worker process: an augmentation that refuses"),
        (leave, "batch 0 failed in a worker process: SystemExit: 3"),
        (die, r"a worker process died \(exit code -9\) before batch 0 was made"),
        (lambda images, rng: images, "augment <function <lambda> at .* cannot be sent to a process"),
    ],
)
def test_what_goes_wrong_in_a_worker_is_a_data_error(augment, message):
    batches = loader(2, augment=augment).epoch(0)
    with pytest.raises(DataError, match=message):
        next(batches)
    assert multiprocessing.active_children() == []
    assert list(batches) == []


def test_a_worker_killed_from_outside_is_reported_and_the_others_end():
    batches = long_epoch(2)
    next(batches)
    for process in multiprocessing.active_children():
        process.kill()
    with pytest.raises(DataError, match=r"a worker process died \(exit code -9\)"):
        list(batches)
    assert multiprocessing.active_children() == []


def shorten_timeout():
    """Let the running watchdog lose its patience at its next look. Workers need half a second to start before."""
    [watchdog] = [thread for thread in threading.enumerate() if isinstance(thread, processes._Watchdog)]
    watchdog.timeout = 0.1


def test_a_worker_stopped_in_the_middle_of_a_batch_is_named():
    batches = Loader(numbered_dataset(25, side=128), 1, workers=1, timeout=100).epoch(0)
    next(batches)
    [worker] = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGSTOP)  # a batch of 200 kB is more than the pipe holds
    shorten_timeout()
    with pytest.raises(DataError, match=rf"minisk-worker 0 \(process {worker.pid}\) .* was killed: it was stopped or"):
        list(batches)


def test_a_worker_that_is_stuck_is_named_with_its_batch():
    batches = Loader(numbered_dataset(2), 1, augment=never_end_on_a_second_batch, workers=2, timeout=100).epoch(0)
    next(batches)
    shorten_timeout()
    with pytest.raises(DataError, match=r"minisk-worker 1 .* sent no batch 1 for 0\.1 s and was killed"):
        next(batches)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("timeout", [0, 1000])
def test_a_timeout_that_is_not_reached_changes_no_bit(timeout):
    batches = Loader(numbered_dataset(25), 4, workers=2, timeout=timeout).epoch(0)
    assert_same_batches(batches, Loader(numbered_dataset(25), 4).epoch(0))


def test_a_timeout_that_is_no_time_is_refused():
    for timeout in (-1, float("nan"), float("inf")):
        with pytest.raises(DataError, match="timeout is"):
            Loader(numbered_dataset(2), 1, timeout=timeout)


def test_closing_and_dropping_an_iterator_end_its_processes():
    batches = long_epoch(2)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert multiprocessing.active_children() == []
    for _ in long_epoch(1):
        break
    gc.collect()
    assert multiprocessing.active_children() == []


def test_an_exception_of_the_consumer_ends_the_processes():
    def consume():
        for _ in long_epoch(2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    gc.collect()
    assert multiprocessing.active_children() == []


def test_a_worker_that_never_ends_does_not_keep_an_iterator_from_closing():
    # Batch 1 hangs for ever, with another worker than batch 0's.
    batches = Loader(numbered_dataset(2), 1, augment=never_end_on_a_second_batch, workers=2).epoch(0)
    next(batches)
    batches.close()


def never_end_on_a_second_batch(images, rng):
    first = numbered_dataset(2).images[:1]
    if not np.array_equal(images, first):
        never_end(images, rng)
    return images


def test_two_epochs_with_workers_may_run_side_by_side():
    pairs = list(zip(loader(1).epoch(0), loader(1).epoch(1), strict=True))
    assert_same_batches([pair[0] for pair in pairs], loader(0).epoch(0))
    assert_same_batches([pair[1] for pair in pairs], loader(0).epoch(1))


SCRIPT = """
import sys
import threading
import numpy as np
from minisk.data import Augment, ImageDataset, Loader

def main(ending):
    count = 50_000 if ending == "large" else 64
    dataset = ImageDataset(np.zeros((count, 3, 8, 8), np.uint8), np.zeros(count, np.int64), ("a",), "zeros")
    batches = Loader(dataset, 4, augment=Augment(), mean=0.5, std=0.5, workers=2).epoch(0)
    print(next(batches)[0].shape)
    if ending == "open":
        globals()["kept"] = batches
    elif ending == "raise":
        raise RuntimeError("the consumer's own")
    elif ending == "killed":
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
    elif ending == "interrupted":
        import os, signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # here; what of the workers, who get the same Ctrl-C?
        os.killpg(0, signal.SIGINT)
        print(len(list(batches)), "more")

"""


@pytest.fixture
def run_script(tmp_path):
    """Run SCRIPT in a session of its own, until the last process of that session has ended."""

    def run(ending, guard="if __name__ == '__main__':\n    "):
        script = tmp_path / "script.py"
        script.write_text(SCRIPT + guard + "main(sys.argv[1])\n")
        process = subprocess.Popen(
            [sys.executable, "-W", "error", script, ending],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        try:  # both pipes end only when every process that has them does: workers and resource tracker too
            out, err = process.communicate(timeout=60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, out, err

    return run


def test_an_iterator_still_open_at_the_exit_leaves_nothing(run_script):
    assert run_script("open") == (0, "(4, 3, 8, 8)\n", "")


def test_an_exception_that_ends_the_script_leaves_nothing(run_script):
    status, _, err = run_script("raise")
    assert (status, err.splitlines()[-1]) == (1, "RuntimeError: the consumer's own")
    assert err.count("Traceback") == 1


def test_a_killed_consumer_takes_its_workers_along(run_script):
    assert run_script("killed") == (-signal.SIGKILL, "(4, 3, 8, 8)\n", "")


def test_ctrl_c_does_not_reach_the_workers(run_script):
    assert run_script("interrupted") == (0, "(4, 3, 8, 8)\n15 more\n", "")


@pytest.mark.parametrize("size", ["open", "large"])  # what a worker is sent fits into a pipe, or does not
def test_a_script_without_its_guard_gets_a_sentence_about_it(run_script, size):
    status, _, err = run_script(size, guard="")
    assert status == 1
    assert 'a script that starts workers needs `if __name__ == "__main__":`' in err.splitlines()[-1]
