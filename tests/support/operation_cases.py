"""Every differentiable operation with inputs to try it on: parity, derivatives, errors and devices share this table."""

import numpy as np
from parity import distinct, positive

import minisk as ms
from minisk import ops


def batch_norm(training, relu=False):
    def function(x, weight, bias):
        running = ms.Tensor(np.array([0.3, -0.2], x.dtype)), ms.Tensor(np.array([1.5, 0.7], x.dtype))
        return ops.batch_norm(x, weight, bias, *running, training=training, eps=0.1, relu=relu)

    return function


def dropout(x):
    ms.manual_seed(5)  # the same mask in every evaluation
    return ops.dropout(x, 0.4)


def arrays(*shapes):
    return distinct(list(shapes))


def above_zero(*shapes):
    return [positive(a) for a in arrays(*shapes)]


IMAGE = (1, 2, 4, 3)
BATCH = (2, 2, 3, 1)
CONDITION = np.array([[True, False, True]])

# name of the operation, function, inputs: small enough to look at every element
CASES = [
    ("add", ops.add, arrays((2, 3), (3,))),
    ("sub", ops.sub, arrays((2, 1), (3,))),
    ("mul", ops.mul, arrays((2, 3), (2, 1))),
    ("div", ops.div, above_zero((2, 1), (3,))),
    ("neg", ops.neg, arrays((2, 3))),
    ("pow", lambda x: ops.pow(x, 3), arrays((2, 3))),
    ("pow", lambda x: ops.pow(x, -0.5), above_zero((2, 3))),
    ("pow", lambda x: 2.5**x, arrays((2, 3))),
    ("exp", ops.exp, arrays((2, 3))),
    ("log", ops.log, above_zero((2, 3))),
    ("sqrt", ops.sqrt, above_zero((2, 3))),
    ("abs", ops.abs, arrays((2, 3))),
    ("tanh", ops.tanh, arrays((2, 3))),
    ("sigmoid", ops.sigmoid, arrays((2, 3))),
    ("relu", ops.relu, arrays((2, 3))),
    ("add_relu", ops.add_relu, arrays((2, 3), (2, 3))),
    ("clip", lambda x: ops.clip(x, -0.71, 0.83), arrays((3, 3))),
    ("where", lambda a, b: ops.where(CONDITION, a, b), arrays((2, 3), (1, 3))),
    ("maximum", ops.maximum, arrays((2, 3), (3,))),
    ("minimum", ops.minimum, arrays((2, 3), (2, 1))),
    ("sum", lambda x: ops.sum(x, (0, 2)), arrays((2, 3, 2))),
    ("mean", lambda x: ops.mean(x, -1, keepdims=True), arrays((2, 3))),
    ("max", lambda x: ops.max(x, 1), arrays((2, 3, 2))),
    ("min", lambda x: ops.min(x), arrays((2, 3))),
    ("var", lambda x: ops.var(x, 0, ddof=1), arrays((3, 2))),
    ("reshape", lambda x: ops.reshape(x, 3, -1), arrays((2, 3))),
    ("transpose", lambda x: ops.transpose(x, 2, 0, 1), arrays((2, 3, 2))),
    ("broadcast_to", lambda x: ops.broadcast_to(x, (2, 3, 2)), arrays((3, 1))),
    ("sum_to", lambda x: ops.sum_to(x, (3, 1)), arrays((2, 3, 2))),
    ("expand_dims", lambda x: ops.expand_dims(x, 1), arrays((2, 3))),
    ("squeeze", lambda x: ops.squeeze(x, -2), arrays((2, 1, 3))),
    ("pad", lambda x: ops.pad(x, [(0, 1), (2, 0)]), arrays((2, 2))),
    ("concatenate", lambda a, b: ops.concatenate([a, b], 1), arrays((2, 1), (2, 3))),
    ("stack", lambda a, b: ops.stack([a, b], -1), arrays((2, 2), (2, 2))),
    ("split", lambda x: ops.split(x, [1, 1, 3], -1), arrays((2, 4))),
    ("cast", lambda x: ops.cast(x, x.dtype) * x, arrays((2, 3))),
    ("to", lambda x: ops.to(x, "cpu") * x, arrays((2, 3))),
    ("get_item", lambda x: ops.get_item(x, (slice(None, None, -1), 1)), arrays((3, 2))),
    ("get_item", lambda x: ops.get_item(x, np.array([0, 2, 0])), arrays((3, 2))),
    ("matmul", ops.matmul, arrays((2, 2, 3), (3, 2))),
    ("matmul", ops.matmul, arrays((3,), (3,))),
    ("linear", ops.linear, arrays((2, 3), (2, 3), (2,))),
    (
        "conv2d",
        lambda *xs: ops.conv2d(*xs, stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
        arrays(IMAGE, (2, 2, 2, 2), (2,)),
    ),
    ("conv2d", lambda *xs: ops.conv2d(*xs, groups=2), arrays(IMAGE, (4, 1, 3, 1))),
    ("max_pool2d", lambda x: ops.max_pool2d(x, (3, 2), (2, 1), 1, ceil_mode=True), arrays(IMAGE)),
    ("avg_pool2d", lambda x: ops.avg_pool2d(x, 2, 1, (1, 0)), arrays(IMAGE)),
    ("global_avg_pool2d", ops.global_avg_pool2d, arrays(IMAGE)),
    ("batch_norm", batch_norm(training=True), arrays(BATCH, (2,), (2,))),
    ("batch_norm", batch_norm(training=False), arrays(BATCH, (2,), (2,))),
    ("batch_norm", batch_norm(training=True, relu=True), arrays(BATCH, (2,), (2,))),
    ("batch_norm", batch_norm(training=False, relu=True), arrays(BATCH, (2,), (2,))),
    ("softmax", lambda x: ops.softmax(x, 0), arrays((3, 2))),
    ("log_softmax", ops.log_softmax, arrays((2, 3))),
    ("cross_entropy", lambda x: ops.cross_entropy(x, np.array([2, 0]), 0.1), arrays((2, 3))),
    ("axpy", ops.axpy, arrays((2, 2), BATCH, BATCH)),
    ("channel_scale", ops.channel_scale, arrays((2, 2, 1, 1), BATCH)),
    ("channel_dot", ops.channel_dot, arrays(BATCH, BATCH)),
    ("select", lambda a, x, y: ops.select(a, [x, y]), arrays((2, 2, 2), BATCH, BATCH)),
    ("dropout", dropout, arrays((3, 3))),
]
