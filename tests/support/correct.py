"""What is right and must be called right: every differentiable operation and module, at other numbers for each seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from operation_cases import SMALL_CASES
from parity import distinct

import minisk as ms
from minisk import models, nn

IMAGES = (2, 4, 6, 5)
# A step of float32 can change the size of a masked result: the function jumps.
OPEN = {"get_item by a mask"}


def squeeze_excite_like() -> models.SKConv:
    return models.SKConv(4, [(3, 1, 2), (3, 2, 2)], L=3)


MODULES: list[tuple[str, Any, tuple[int, ...]]] = [
    ("Conv2d", lambda: nn.Conv2d(4, 6, 3, 2, 1, groups=2), IMAGES),
    ("Linear", lambda: nn.Linear(5, 3), (4, 5)),
    ("BatchNorm2d", lambda: nn.BatchNorm2d(4), IMAGES),
    ("BatchNorm2d in evaluation", lambda: nn.BatchNorm2d(4).eval(), IMAGES),
    ("BatchNorm2d and ReLU", lambda: nn.BatchNorm2d(4, relu=True), IMAGES),
    ("ReLU", nn.ReLU, IMAGES),
    ("Sigmoid", nn.Sigmoid, (4, 5)),
    ("Tanh", nn.Tanh, (4, 5)),
    ("Flatten", nn.Flatten, IMAGES),
    ("Identity", nn.Identity, (4, 5)),
    ("Dropout", lambda: nn.Dropout(0.3), (4, 5)),
    ("MaxPool2d", lambda: nn.MaxPool2d(3, 2, 1), IMAGES),
    ("AvgPool2d", lambda: nn.AvgPool2d(2), IMAGES),
    ("BatchNorm1d", lambda: nn.BatchNorm1d(5), (6, 5)),
    ("GlobalAvgPool2d", nn.GlobalAvgPool2d, IMAGES),
    ("SKConv", squeeze_excite_like, IMAGES),
    ("SKConv in evaluation", lambda: squeeze_excite_like().eval(), IMAGES),
    ("SKUnit", lambda: models.SKUnit(4, 4, 6, 2, branches=[(3, 1, 2), (3, 2, 2)], L=3), IMAGES),
]


def moved(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same numbers in another order, each up to a quarter larger or smaller: a domain such as x > 0 is kept."""
    return rng.permutation(array.ravel()).reshape(array.shape) * rng.uniform(0.8, 1.25, array.shape)


def at_seed(seed: int) -> Iterator[tuple[str, Any, list[np.ndarray]]]:
    """Yield name, function and inputs of all that is to be checked."""
    for case in SMALL_CASES:
        if case.name in OPEN:
            continue
        inputs = [moved(array, np.random.default_rng([seed, i])) for i, array in enumerate(case.arrays())]
        yield case.name, case.function, inputs
    for name, make, shape in MODULES:
        ms.manual_seed(seed)
        yield name, make(), distinct([shape], seed)
