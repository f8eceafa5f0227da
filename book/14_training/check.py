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
    arrays, values = answer.get("capture")(killed)
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
        if one.keys() != other.keys() or any(not np.array_equal(one[name], other[name]) for name in one):
            raise Wrong(
                f"After a kill at step {kill} the optimizer's velocities are not restored: momentum starts at 0."
            )
    if resumed.random.bit_generator.state != again.random.bit_generator.state:
        raise Wrong(f"After a kill at step {kill} the stream of batches starts anew: keep the generator's state.")
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
        raise Wrong(f"After a kill at step {kill} `{differing[0]}` is not what it was.")


def check_write(write):
    path = Path("checkpoint.bin")
    path.write_bytes(b"old" * 300)
    new, seen = b"new" * 500, []  # less than a buffer: what is not flushed is not in the file
    really = os.replace

    def replace(source, target, **options):
        seen.append((path.read_bytes() if path.exists() else b"", Path(source).read_bytes()))
        really(source, target, **options)

    with mock.patch("os.replace", replace), mock.patch("os.rename", replace):
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
