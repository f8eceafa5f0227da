"""Exercise 7, solved."""

import numpy as np

STRIDE, DILATION = 3, 2


def taps(canvas, out_size, kernel, stride=1, dilation=1):
    """Yield p, q, and a view of what all outputs see there, (N, C, *out_size)."""
    for p, q in np.ndindex(*kernel):
        i, j = p * dilation, q * dilation
        rows = slice(i, i + stride * (out_size[0] - 1) + 1, stride)
        columns = slice(j, j + stride * (out_size[1] - 1) + 1, stride)
        yield p, q, canvas[:, :, rows, columns]


def conv_weight_grad(x, dout, kernel, stride=1, padding=0, dilation=1, groups=1):
    """Return the gradient of the weights, (O, C / groups, *kernel)."""
    canvas = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    inputs, outputs = x.shape[1] // groups, dout.shape[1] // groups
    g = dout.reshape(len(dout), groups, outputs, *dout.shape[2:])
    dweight = np.zeros((groups, outputs, inputs, *kernel))
    for p, q, view in taps(canvas, dout.shape[2:], kernel, stride, dilation):
        seen = view.reshape(len(x), groups, inputs, *dout.shape[2:])
        dweight[..., p, q] = np.einsum("ngohw,ngchw->goc", g, seen)
    return dweight.reshape(-1, inputs, *kernel)
