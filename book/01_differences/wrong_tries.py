"""Typical wrong tries of exercise 1, as changes of the kept solution."""

from book.answers import Try

TRIES = [
    Try("divides by h instead of 2h", {"/ (2 * h)": "/ h"}, "divides by 2h"),
    Try("one-sided differences", {"f(x - h)) / (2 * h)": "f(x)) / h"}, "differences from one side"),
    Try("no extrapolation", {"(16 * fine - coarse) / 15": "third"}, "still has an error of 0.0625·h²"),
    Try("one extrapolation only", {"(16 * fine - coarse) / 15": "fine"}, "extrapolate a second time"),
    Try(
        "4 and 3 in the second extrapolation too",
        {"(16 * fine - coarse) / 15": "(4 * fine - coarse) / 3"},
        "16 in place",
    ),
    Try(
        "weights of the first extrapolation exchanged",
        {
            "(4 * second - first) / 3": "(4 * first - second) / 3",
            "(4 * third - second) / 3": "(4 * second - third) / 3",
        },
        "combine steps that halve as (4·D(h/2) − D(h)) / 3",
    ),
    Try("divides by 4 instead of 3", {"(4 * second - first) / 3": "(4 * second - first) / 4"}, "must add up to 1"),
    Try("a step of 1e-9", {"h=0.02": "h=1e-9"}, "rounding errors dominate"),
    Try("the step of a single central difference", {"h=0.02": "h=1e-5"}, "rounding errors dominate"),
    Try("a step of 0.05", {"h=0.02": "h=0.05"}, "too large"),
    Try("forgets the return", {"return (16 *": "result = (16 *"}, "is a `return` missing"),
    Try("the default step of the exercise", {"h=0.02": "h=1.0"}, "too large"),
    Try("predicts every power of h", {"(2, 4, 6)": "(2, 3, 4)"}, "even powers of h only"),
    Try("leaves the prediction out", {"(2, 4, 6)": "(2, None, None)"}, "Predict before you run: ORDERS"),
]
