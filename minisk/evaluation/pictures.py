"""A picture of images beside their most probable classes. Needs matplotlib (the extra `plot`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.figures import _BLUE, _figure, _label, _write

_ROW = 170  # pixels of height for each image


def draw_predictions(predictions: Sequence[tuple[str, Any, Sequence[tuple[str, float]]]], path: str | Path) -> None:
    """Draw one row per image, the image on the left and bars of its class probabilities on the right, as a PNG.

    predictions: of each image its name, the Pillow image (RGB), and (class, probability in 0 … 1), largest first.
    Raises MiniskError without matplotlib, OSError.
    """
    figure = _figure(640, _ROW * len(predictions))
    grid = figure.subplots(len(predictions), 2, squeeze=False, width_ratios=(1, 2))
    for (left, right), (name, image, top) in zip(grid, predictions, strict=True):
        left.imshow(np.asarray(image), interpolation="bicubic")
        left.axis("off")
        left.set_title(_label(name, 24), fontsize=9)
        positions = range(len(top))
        right.barh(positions, [100 * probability for _, probability in top], color=_BLUE)
        right.set_yticks(positions, [_label(class_name) for class_name, _ in top], fontsize=9)
        right.set(xlim=(0, 100))
        right.invert_yaxis()
        right.tick_params(axis="x", labelsize=8)
        right.spines[["top", "right"]].set_visible(False)
    grid[-1][1].set_xlabel("probability, %", fontsize=9)
    _write(figure, path)
