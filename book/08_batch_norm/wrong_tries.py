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
        "Around 10000 the variance",
    ),
    Try("a second loop over the rows", {"for row in rows:": "list(rows)\n    for row in rows:"}, "finds no rows"),
    Try("float64 inside", {"center = next(rows)": "center = next(rows).astype('float64')"}, "other dtypes"),
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
    Try("the gap near 10,000 again", {"PREDICTION = -8": "PREDICTION = -10"}, "between 2^15 and 2^16"),
]
