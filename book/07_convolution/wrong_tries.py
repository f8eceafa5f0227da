"""Typical wrong tries of exercise 7, as changes of the kept solution."""

from book.answers import Try

PAD = "np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))"
TAPS = "taps(canvas, dout.shape[2:], kernel, stride, dilation)"
STORE = "dweight[..., p, q] ="
SUM = 'np.einsum("ngohw,ngchw->goc", g, seen)'
TRIES = [
    Try("forgets the padding", {PAD: "x"}, "pad x, as forward does"),
    Try("forgets the stride", {TAPS: "taps(canvas, dout.shape[2:], kernel, 1, dilation)"}, "stride pixels apart"),
    Try("forgets the dilation", {TAPS: "taps(canvas, dout.shape[2:], kernel, stride, 1)"}, "dilation pixels apart"),
    Try(
        "exchanges stride and dilation",
        {TAPS: "taps(canvas, dout.shape[2:], kernel, dilation, stride)"},
        "With stride=2",
    ),
    Try(
        "a convolution with dout, not cut",
        {
            TAPS: "taps(canvas, dout.shape[2:], tuple((canvas.shape[k + 2] - stride * (dout.shape[k + 2] - 1) - 1)"
            " // dilation + 1 for k in (0, 1)), stride, dilation)",
            "np.zeros((groups, outputs, inputs, *kernel))": "np.zeros((groups, outputs, inputs, 9, 9))",
            "    return dweight.reshape(-1, inputs, *kernel)": "    return dweight[..., : p + 1, : q + 1].reshape("
            "-1, inputs, p + 1, q + 1)",
        },
        "so cut the rest off",
    ),
    Try("forgets the return", {"    return dweight.reshape": "    dweight = dweight.reshape"}, "is a `return` missing"),
    Try("turns the window", {STORE: "dweight[..., kernel[0] - 1 - p, kernel[1] - 1 - q] ="}, "turned by 180°"),
    Try("takes the mean over the batch", {SUM: SUM + " / len(x)"}, "1/2 of what it should be"),
    Try("takes the mean over the pixels", {SUM: SUM + " / dout[0, 0].size"}, "1/9 of what it should be"),
    Try("only the first image", {SUM: 'np.einsum("ngohw,ngchw->goc", g[:1], seen[:1])'}, "add up over the images"),
    Try("exchanges rows and columns", {STORE: "dweight[..., q, p] ="}, "p counts rows and q columns"),
    Try(
        "exchanges outputs and inputs",
        {
            "np.zeros((groups, outputs, inputs, *kernel))": "np.zeros((groups, inputs, outputs, *kernel))",
            "->goc": "->gco",
        },
        "o comes before c",
    ),
    Try(
        "ignores the groups",
        {"padding=0, dilation=1, groups=1):": "padding=0, dilation=1, groups=1):\n    groups = 1"},
        "inputs of its own group",
    ),
    Try("predicts the settings of forward", {"= 3, 2": "= 2, 3"}, "the window now runs over i"),
    Try("runs before predicting", {"= 3, 2": "= 3, None"}, "Predict before you run: DILATION"),
]
