"""The check of exercise 7."""

import numpy as np

import minisk as ms
from book.answers import Wrong

# One setting after the other: (what it adds, images, channels, outputs, size, kernel, keywords, advice).
CASES = [
    (
        "one image, one channel",
        1,
        1,
        1,
        (5, 5),
        (3, 3),
        {},
        "dweight[p, q] is the sum of dout times what the outputs see at tap (p, q)",
    ),
    ("a kernel of 2×3", 1, 1, 1, (5, 6), (2, 3), {}, "p counts rows and q columns"),
    ("a batch of two", 2, 1, 1, (5, 5), (3, 3), {}, "add up over the images"),
    (
        "three channels and two outputs",
        1,
        3,
        2,
        (5, 5),
        (3, 3),
        {},
        "every output meets every input, and o comes before c",
    ),
    ("padding=1", 1, 1, 1, (5, 5), (3, 3), {"padding": 1}, "pad x, as forward does"),
    (
        "stride=2",
        1,
        1,
        1,
        (8, 8),
        (3, 3),
        {"stride": 2},
        "neighbouring outputs see windows that are stride pixels apart",
    ),
    ("dilation=2", 1, 1, 1, (8, 8), (3, 3), {"dilation": 2}, "the taps lie dilation pixels apart"),
    ("groups=2", 1, 4, 6, (5, 5), (3, 3), {"groups": 2}, "an output meets only the inputs of its own group"),
]
SHAPES = 40


def check(answer):
    predictions = answer.predictions("STRIDE", "DILATION")
    gradient = answer.get("conv_weight_grad")
    for number, (what, n, c, o, size, kernel, settings, advice) in enumerate(CASES):
        check_case(gradient, np.random.default_rng(number), what, (n, c, *size), o, kernel, settings, advice)
    rng = np.random.default_rng(7)
    for number in range(SHAPES):
        shape, o, kernel, settings = drawn(rng)
        words = ", ".join(f"{name}={value}" for name, value in settings.items())
        what = f"drawn shape {number + 1} of {SHAPES}, x {shape}, kernel {kernel}, {words}"
        check_case(
            gradient, rng, what, shape, o, kernel, settings, "each setting alone is right, so look at how they meet"
        )
    check_prediction(*predictions)


def drawn(rng):
    """Return random shapes and settings of a convolution that has at least one output pixel."""
    groups, kernel = int(rng.integers(1, 4)), tuple(int(k) for k in rng.integers(1, 4, size=2))
    stride, padding, dilation = (int(rng.integers(low, 4)) for low in (1, 0, 1))
    least = max(1, dilation * (max(kernel) - 1) + 1 - 2 * padding)
    size = tuple(int(rng.integers(least, least + 5)) for _ in range(2))
    shape = (int(rng.integers(1, 4)), groups * int(rng.integers(1, 4)), *size)
    return (
        shape,
        groups * int(rng.integers(1, 4)),
        kernel,
        dict(stride=stride, padding=padding, dilation=dilation, groups=groups),
    )


def expected_gradient(x, kernel, outputs, settings, rng):
    """Return a random gradient of the output, and minisk's gradient of the weights for it."""
    groups = settings.get("groups", 1)
    weight = ms.tensor(rng.normal(size=(outputs, x.shape[1] // groups, *kernel)), requires_grad=True)
    out = ms.ops.conv2d(ms.tensor(x), weight, **settings)
    dout = rng.normal(size=out.shape)
    (gradient,) = ms.grad(out, weight, ms.tensor(dout))
    return dout, gradient.numpy()


def check_case(conv_weight_grad, rng, what, shape, outputs, kernel, settings, advice):
    x = rng.normal(size=shape)
    dout, expected = expected_gradient(x, kernel, outputs, settings, rng)
    kept = x.copy(), dout.copy()
    try:
        result = conv_weight_grad(x, dout, kernel, **settings)
    except (ValueError, IndexError) as error:
        message = " ".join(str(error).split())
        if len(message) > 90:
            message = f"{message[:90].rsplit(' ', 1)[0]} …"
        raise Wrong(f"With {what}, shapes do not fit ({type(error).__name__}: {message}): {advice}.") from None
    check_shape(result, expected, what, advice)
    if not (np.array_equal(x, kept[0]) and np.array_equal(dout, kept[1])):
        raise Wrong("`conv_weight_grad` changes x or dout, which do not belong to it.")
    if np.allclose(result, expected, rtol=1e-9, atol=1e-9):
        return
    if expected[0, 0].size > 1 and np.allclose(result, expected[..., ::-1, ::-1]):
        raise Wrong("The window is turned by 180°: tap (p, q) of forward is tap (p, q) of the gradient.")
    turned = expected.swapaxes(2, 3)
    if turned.shape == expected.shape and np.allclose(result, turned):
        raise Wrong("Rows and columns of the gradient are exchanged: p counts rows and q columns.")
    ratio = np.asarray(result) / expected
    if np.allclose(ratio, ratio.flat[0]) and 0 < ratio.flat[0] < 1:
        raise Wrong(
            f"With {what}, every element is 1/{1 / ratio.flat[0]:.0f} of what it should be: take sums, not means."
        )
    raise Wrong(f"With {what}, the gradient is wrong: {advice}.")


def check_shape(result, expected, what, advice):
    if result is None:
        raise Wrong("`conv_weight_grad` returns None: is a `return` missing?")
    shape, (rows, columns) = np.shape(result), expected.shape[2:]
    if shape == expected.shape:
        return
    cut = result[:, :, :rows, :columns] if len(shape) == 4 else np.asarray(result)
    if cut.shape == expected.shape and np.allclose(cut, expected, rtol=1e-9, atol=1e-9):
        raise Wrong(
            f"With {what}, the result has shape {shape}, and its first {rows} rows and {columns} columns are right: "
            "x ends with pixels that no window reached, so cut the rest off."
        )
    raise Wrong(f"With {what}, the result has shape {shape}, expected {expected.shape}: {advice}.")


def check_prediction(stride, dilation):
    if (stride, dilation) != (3, 2):
        raise Wrong(
            f"You predict stride {stride} and dilation {dilation}; in x[i·2 + p·3] the window now runs over i, and p "
            "is the place of the result."
        )
