"""The check of exercise 5."""

import numpy as np

import minisk as ms
from book.answers import Wrong
from book.chapters import chapter

REASONS = {
    "write_to_saved": "the product saves y for backward, and the write is counted",
    "write_to_unsaved": "a sum saves neither of its inputs, so backward never reads y",
    "write_to_view": "the view shares memory and counter with y, which the product has saved",
    "write_to_copy": "the copy has memory of its own, so y is still what the product saved",
    "raw_write": "a write to .data is not counted, so backward reads the changed numbers",
    "raw_write_watched": "anomaly mode compares the checksum of each saved array",
    "step_too_early": "the second backward needs x as it was, and the step has changed x in place",
    "second_backward": "the first backward freed the graph, and .grad = None does not bring it back",
    "second_call": "each call builds a new graph, but .grad adds up both gradients",
    "scale_without_graph": "the scale depends on x, but under no_grad it becomes a constant",
    "numpy_in_between": "the sine left the graph by .numpy(), so it counts as a constant",
    "comparison": "the mask has the derivative 0 wherever it has one, so a constant mask is right",
}


def check(answer):
    predictions = answer.get("PREDICTIONS")
    for name, reason in REASONS.items():
        prediction = predictions.get(name)
        if prediction not in ("right", "wrong", "error"):
            raise Wrong(f'The prediction for {name} is {prediction!r}: write "right", "wrong" or "error".')
        seen = verdict(name)
        if prediction != seen:
            raise Wrong(f'{name} gives "{seen}", not "{prediction}": {reason}.')


def verdict(name):
    """Run the program as the exercise has it, and return what it gives."""
    program = getattr(chapter(5).module("exercise"), name)
    x = ms.tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    try:
        gradient, expected = program(x)
    except ms.MiniskError:
        return "error"
    return "right" if np.allclose(gradient.numpy(), expected) else "wrong"
