"""Typical wrong tries of exercise 8, as changes of the kept solution."""

from book.answers import Try

TRIES = [
    Try(
        "sums of x and x², without a center",
        {
            "np.zeros_like(center), np.zeros_like(center)": "center.copy(), center * center",
            "centred = row - center": "centred = row",
            "return center, rest": "return 0 * center, rest",
        },
        "Around 10,000 the variance",
    ),
    Try(
        "a second loop over the rows",
        {"for row in rows:": "for row in rows:\n        count += 1\n    for row in rows:"},
        "finds no rows",
    ),
    Try("float64 inside", {"center = next(rows)": "center = next(rows).astype('float64')"}, "other dtypes"),
    Try(
        "float64 on the way, float32 at the end",
        {
            "np.zeros_like(center), np.zeros_like(center)": "np.zeros(len(center)), np.zeros(len(center))",
            "return center, rest, squares / np.float32(count) - rest * rest": (
                "return [a.astype('float32') for a in (center, rest, squares / count - rest * rest)]"
            ),
        },
        "computes in float64 on the way",
    ),
    Try("a list of all rows", {"for row in rows:": "rows = list(rows)\n    for row in rows:"}, "keeps 39 rows"),
    Try(
        "does not count the first row", {"count, total, squares = 1": "count, total, squares = 0"}, "count of the rows"
    ),
    Try(
        "a sum for the variance",
        {"squares / np.float32(count) - rest * rest": "squares"},
        "divide it by the number of rows",
    ),
    Try("the variance around the center", {" - rest * rest": ""}, "subtract rest²"),
    Try(
        "the deviation",
        {"squares / np.float32(count) - rest * rest": "(squares / np.float32(count) - rest * rest) ** np.float32(0.5)"},
        "its root",
    ),
    Try("two results", {"return center, rest, squares": "return center + rest, squares"}, "must return three arrays"),
    Try(
        "divides by N − 1",
        {"squares / np.float32(count) - rest * rest": "(squares - count * rest * rest) / np.float32(count - 1)"},
        "too large by N/(N − 1)",
    ),
    Try(
        "forgets that the mean is shifted",
        {"return center, rest,": "return center, 0 * rest,"},
        "keep the mean of the shifted rows",
    ),
    Try(
        "the gradient of evaluation mode", {"(dout - dout.mean(0) - y * (dout * y).mean(0))": "dout"}, "evaluation mode"
    ),
    Try("without the term of the variance", {" - y * (dout * y).mean(0)": ""}, "term of the variance"),
    Try("without the term of the mean", {"dout - dout.mean(0) - y": "dout - y"}, "term of the mean"),
    Try(
        "mean and variance as constants",
        {
            "centred = x - x.mean(0)": "centred = x - x.mean(0).detach()",
            "y = centred": "inv_std = inv_std.detach()\n        y = centred",
        },
        "arrays have no history",
    ),
    Try(
        "sums for the means",
        {"dout.mean(0) - y * (dout * y).mean(0)": "dout.sum(0) - y * (dout * y).sum(0)"},
        "has their means",
    ),
    Try("a root without eps", {" + Normalize.EPS) ** -0.5": ") ** -0.5"}, "right but for eps"),
    Try("forgets the return", {"return inv_std": "dx = inv_std"}, "returns None"),
    Try("the gap instead of its power", {"PREDICTION = -8": "PREDICTION = 2**-8"}, "the power in 2^PREDICTION"),
    Try("the gap near 10,000 again", {"PREDICTION = -8": "PREDICTION = -10"}, "between 2^15 and 2^16"),
]
