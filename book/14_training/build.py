"""Chapter 14: random choices keyed by their place, and a comparison of states by bits."""

import numpy as np


def order(seed, epoch, count):
    """Return the order of the images in an epoch."""
    return np.random.default_rng((seed, 0, epoch)).permutation(count)


def mirrored(seed, epoch, batch, size):
    """Return which images of a batch are mirrored."""
    return np.random.default_rng((seed, 1, epoch, batch)).random(size) < 0.5


def same_bits(one, other):
    """Return whether two states have the same arrays, bit for bit."""
    equal = (one[name].tobytes() == other[name].tobytes() for name in one)
    return one.keys() == other.keys() and all(equal)
