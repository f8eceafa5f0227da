"""Chapter 12: the pair that makes a softmax online."""

import math


def join(a, b):
    """Return the maximum and the sum of two parts together; a part is (top, sum)."""
    top = max(a[0], b[0])
    return top, a[1] * math.exp(a[0] - top) + b[1] * math.exp(b[0] - top)


def softmax_online(x):
    part = (x[0], 1.0)
    for element in x[1:]:
        part = join(part, (element, 1.0))
    top, total = part
    return [math.exp(element - top) / total for element in x]
