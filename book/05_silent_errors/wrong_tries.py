"""Typical wrong tries of exercise 5: the predictions that readers get wrong, as changes of the kept solution."""

from book.answers import Try

TRIES = [
    Try(
        "thinks that a write needs no graph",
        {'"write_to_saved": "error"': '"write_to_saved": "right"'},
        "the product saves y",
    ),
    Try(
        "thinks that every write is an error",
        {'"write_to_unsaved": "right"': '"write_to_unsaved": "error"'},
        "a sum saves neither",
    ),
    Try(
        "takes a view for a copy", {'"write_to_view": "error"': '"write_to_view": "right"'}, "shares memory and counter"
    ),
    Try("takes a copy for a view", {'"write_to_copy": "right"': '"write_to_copy": "error"'}, "memory of its own"),
    Try("trusts the counter with .data", {'"raw_write": "wrong"': '"raw_write": "error"'}, "not counted"),
    Try("forgets what anomaly mode does", {'"raw_write_watched": "error"': '"raw_write_watched": "wrong"'}, "checksum"),
    Try(
        "thinks that backward keeps a copy",
        {'"step_too_early": "error"': '"step_too_early": "wrong"'},
        "needs x as it was",
    ),
    Try("thinks that the graph stays", {'"second_backward": "error"': '"second_backward": "right"'}, "freed the graph"),
    Try("forgets that .grad collects", {'"second_call": "wrong"': '"second_call": "right"'}, "adds up both"),
    Try(
        "thinks that no_grad changes only speed",
        {'"scale_without_graph": "wrong"': '"scale_without_graph": "right"'},
        "becomes a constant",
    ),
    Try(
        "expects an error from .numpy()",
        {'"numpy_in_between": "wrong"': '"numpy_in_between": "error"'},
        "left the graph",
    ),
    Try(
        "takes every constant for a mistake",
        {'"comparison": "right"': '"comparison": "wrong"'},
        "constant mask is right",
    ),
    Try("leaves one out", {'"comparison": "right"': '"comparison": None'}, 'write "right", "wrong" or "error"'),
]
