"""Exercise 7: the gradient of a convolution with respect to its weights."""

import numpy as np

# First predict. A convolution has stride 2 and dilation 3. Its weight gradient is a convolution of x with dout in the
# place of the weights. Which stride and which dilation does that one have?
STRIDE, DILATION = None, None


def taps(canvas, out_size, kernel, stride=1, dilation=1):
    """Yield p, q, and a view of what all outputs see there, (N, C, *out_size)."""
    for p, q in np.ndindex(*kernel):
        i, j = p * dilation, q * dilation
        rows = slice(i, i + stride * (out_size[0] - 1) + 1, stride)
        columns = slice(j, j + stride * (out_size[1] - 1) + 1, stride)
        yield p, q, canvas[:, :, rows, columns]


def conv_weight_grad(x, dout, kernel, stride=1, padding=0, dilation=1, groups=1):
    """Return the gradient of the weights, (O, C / groups, *kernel).

    x: (N, C, H, W), the input; dout: (N, O, Ho, Wo), the gradient of the output; kernel: (kh, kw).
    """
    raise NotImplementedError
