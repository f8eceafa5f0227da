"""The check of exercise 14."""

import json
import os
from pathlib import Path
from unittest import mock

import numpy as np

from book.answers import Wrong

STEPS, KILLS = 9, (0, 2, 5)


def check(answer):
    prediction = answer.get("PREDICTION")
    if prediction is None:
        raise Wrong("First predict: replace the None of PREDICTION.")
    if prediction != 57:
        raise Wrong(f"PREDICTION is {prediction}: SGD with momentum keeps one velocity for each parameter.")
    straight = advanced(answer.get("Run")(1), STEPS)
    for kill in KILLS:
        check_resumed(answer, straight, kill)
    check_write(answer.get("write"))


def advanced(run, steps):
    for _ in range(steps):
        run.step()
    return run


def check_resumed(answer, straight, kill):
    killed = advanced(answer.get("Run")(1), kill)
    captured = answer.get("capture")(killed)
    if not isinstance(captured, tuple | list) or len(captured) != 2:
        raise Wrong("`capture` must return two dictionaries: arrays by name, and values that JSON can hold.")
    arrays, values = captured
    try:
        values = json.loads(json.dumps(values))
    except TypeError as error:
        raise Wrong(f"JSON cannot hold the values of step {kill}: {error}; put arrays among the arrays.") from None
    resumed = answer.get("Run")(2)  # another process: other weights, another stream
    kept = {name: np.array(array) for name, array in arrays.items()}
    before = model_arrays(killed)
    advanced(killed, 1)
    if any(not np.array_equal(kept[name], array) for name, array in arrays.items()):
        raise Wrong("The captured arrays change when the run goes on: `capture` must copy them.")
    answer.get("restore")(resumed, kept, values)
    compare(before, model_arrays(resumed), kill)
    if resumed.schedule.steps != kill:
        raise Wrong(f"After a kill at step {kill} the schedule stands at step {resumed.schedule.steps}.")
    again = advanced(answer.get("Run")(1), kill)
    for one, other in zip(velocities(again), velocities(resumed), strict=True):
        names = one.keys() | other.keys()  # before the first step there is no velocity; 0 does the same
        if any(
            not np.array_equal(np.array(one.get(name, 0)) + 0 * other.get(name, 0), other.get(name, 0))
            for name in names
        ):
            raise Wrong(
                f"After a kill at step {kill} the optimizer's velocities are not restored: momentum starts at 0."
            )
    if resumed.random.bit_generator.state != again.random.bit_generator.state:
        raise Wrong(f"After a kill at step {kill} the stream of batches starts anew: keep the generator's state.")
    right, found = (run.optimizer.param_groups[0]["lr"] for run in (again, resumed))
    if right != found:
        raise Wrong(
            f"After a kill at step {kill} the learning rate is {found:.4g}, not {right:.4g}: `schedule.go_to(step)` sets "
            "it, and so do the optimizer's groups."
        )
    advanced(resumed, STEPS - kill)
    if resumed.loss != straight.loss:
        raise Wrong(
            f"A run killed at step {kill} ends with loss {resumed.loss:.8f}, the other with {straight.loss:.8f}."
        )


def model_arrays(run):
    return {name: value.numpy().copy() for name, value in run.model.state_dict().items()}


def velocities(run):
    return run.optimizer.state_dict()["state"]


def compare(right, found, kill):
    """Raise Wrong if an array of the model differs; running statistics have a sentence of their own."""
    differing = [name for name in right if not np.array_equal(right[name], found[name])]
    if differing and all("running" in name for name in differing):
        raise Wrong(
            f"After a kill at step {kill} batch norm's running statistics are lost: "
            "they are in state_dict(), not in parameters()."
        )
    if differing:
        raise Wrong(
            f"After a kill at step {kill} `{differing[0]}` is not what it was: "
            "`run.model.load_state_dict` copies arrays into a model."
        )


def check_write(write):
    path = Path("checkpoint.bin")
    path.write_bytes(b"old" * 300)
    new, seen, synced = b"new" * 500, [], []  # less than a buffer: what is not flushed is not in the file
    really, really_sync = os.replace, os.fsync

    def sync(file):
        synced.append(os.fstat(file if isinstance(file, int) else file.fileno()).st_size)
        really_sync(file)

    def replace(source, target, **options):
        if not os.path.samefile(Path(source).absolute().parent, Path.cwd()):
            raise Wrong(
                "The new file lies in another folder: one step renames only within a disk, so write it beside the old."
            )
        seen.append((path.read_bytes() if path.exists() else b"", Path(source).read_bytes(), len(new) in synced))
        really(source, target, **options)

    with mock.patch("os.replace", replace), mock.patch("os.rename", replace), mock.patch("os.fsync", sync):
        write(path, new)
    if path.read_bytes() != new:
        raise Wrong("After `write`, the file does not hold the new content.")
    if not seen:
        raise Wrong(
            "`write` overwrites the file in place: a kill in the middle leaves "
            "half a checkpoint, and the old one is lost."
        )
    if seen[0][0] != b"old" * 300:
        raise Wrong(
            "`write` removes the old content before the new file is complete: let os.replace exchange them in one step."
        )
    if seen[0][1] != new:
        raise Wrong("The new file is renamed before all of it is written: close it, or flush it, first.")
    if not seen[0][2]:
        raise Wrong(
            "The new file may not be on the disk when it is renamed: call file.flush() and os.fsync(file.fileno()) first."
        )
