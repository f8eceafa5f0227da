"""The whole analysis of one network: choose the views, measure, compare, and collect the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data import STANDARD_SHAPES, Dataset, ImageFolder, Photos, load_dataset, make_scaled_shapes
from ...errors import ArgumentError
from ...nn import Module
from .figures import Example
from .measure import AttentionMeter, Measurement, last_of_stages, measure_attention, selective_units
from .report import AttentionReport
from .statistics import RESAMPLES, AreaEffect, area_effects, comparisons_of, effects_of
from .views import (
    DRAWN,
    ENLARGED,
    ORIGINAL,
    Condition,
    ImageFiles,
    ImageStrips,
    StripView,
    box_areas,
    check_scales,
    conditions_for,
)

CROP = 0.875  # of a photograph's shorter side, what the original view shows unless the network says otherwise


@dataclass(frozen=True)
class Views:
    """The images of an analysis.

    Attributes:
        strips: a data set of strips, see `views`.
        conditions: the views in each strip.
        areas: of the object in each image, in pixels, NaN where it is not known; None: no area is known.
    """

    strips: Dataset
    conditions: tuple[Condition, ...]
    areas: NDArray[np.float64] | None = None


def views_of_files(
    paths: Sequence[str | Path], size: int, scales: Sequence[float], limit: int | None = None, crop: float = CROP
) -> Views:
    """Return the views of image files, and of those in folders.

    Args:
        paths: files and folders. The class of a file is its folder.
        size: height and width of the network's images, in pixels.
        scales: factors by which the images are enlarged, above 1.
        limit: the largest number of images, spread evenly over the sorted names.
        crop: side of the original view, divided by the photograph's shorter side.

    Raises:
        DataError, ArgumentError: there is no image, or a scale is out of range.
    """
    conditions = conditions_for(check_scales(scales))
    return Views(ImageFiles(paths, StripView(size, conditions, crop), limit), conditions)


def views_of_data(
    name: str,
    data_dir: str | Path | None,
    size: int,
    scales: Sequence[float],
    limit: int | None = None,
    boxes: str | Path | None = None,
    crop: float = CROP,
) -> Views:
    """Return the views of the test images of a data set.

    Of "shapes" and "shapes_varied", new images are drawn whose objects have room to grow. Their areas are known.

    Args:
        name, data_dir, limit: as of `data.load_dataset`.
        size, scales, crop: as of `views_of_files`. Images in memory keep their own size.
        boxes: a CSV file with the objects' boxes in photographs, see `box_areas`.

    Raises:
        DataError, ArgumentError: the images or boxes can't be read, or an argument does not fit.
    """
    scales = check_scales(scales)
    if boxes is not None and name != "imagenet":
        raise ArgumentError(f"attention: boxes belong to photographs, to the data set imagenet, not to {name}")
    if name in STANDARD_SHAPES:
        return _views_of_shapes(name, scales, limit)
    conditions = conditions_for(scales)
    dataset = load_dataset(name, data_dir, "test", size_limit=limit, view=StripView(size, conditions, crop))
    if not isinstance(dataset, Photos):
        return Views(ImageStrips(dataset, conditions), conditions)
    if boxes is None:
        return Views(dataset, conditions)
    if not isinstance(dataset, ImageFolder):
        raise ArgumentError(f"attention: boxes belong to a tree of photographs, but {data_dir} holds shards")
    return Views(dataset, conditions, box_areas(boxes, dataset.files))


def _views_of_shapes(name: str, scales: tuple[float, ...], limit: int | None) -> Views:
    about = STANDARD_SHAPES[name]
    count, seed = about.splits["test"]
    low, high = about.extents
    count = count if limit is None else min(count, limit)
    made = make_scaled_shapes(count, seed, (1.0, *scales), about.size, (low, high / scales[-1]), name)
    original, *drawn = made.images
    conditions = conditions_for(scales, drawn=True)
    areas = (made.extents.astype(np.float64) * about.size) ** 2
    return Views(ImageStrips(original, conditions, drawn), conditions, areas)


def study_attention(
    model: Module,
    views: Views,
    normalization: dict[str, Any],
    network: str,
    *,
    examples: int = 4,
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: bool = False,
    notes: Sequence[str] = (),
) -> AttentionReport:
    """Measure a network's attention in all views, and return the report.

    Args:
        model: a network with selective kernels.
        views: of the images.
        normalization: `mean` and `std` of each channel, in 0 … 1.
        network: its name, for the report.
        examples: number of single images to show.
        resamples, seed: of the statistics.
        progress: show a bar on a terminal.
        notes: further sentences for the report.

    Raises:
        DataError: no image can be read.
        MiniskError: the network has no selective kernel with several branches.
    """
    has_areas = views.areas is not None
    measured = measure_attention(model, views.strips, views.conditions, normalization, has_areas, progress)
    comparisons = comparisons_of(views.conditions)
    shown = last_of_stages(selective_units(model))
    return AttentionReport(
        network=network,
        data=views.strips.name,
        classes=views.strips.classes,
        measured=measured,
        effects=[(one, effects_of(measured, one, resamples, seed)) for one in comparisons],
        areas=_area_effects(measured, views.areas, resamples, seed),
        examples=_examples(model, views, normalization, measured, shown, examples),
        shown=shown,
        notes=notes,
    )


def _area_effects(
    measured: Measurement, areas: NDArray[np.float64] | None, resamples: int, seed: int
) -> list[AreaEffect]:
    """Return the effects of area, or none if fewer than three of the images have one."""
    if areas is None or np.isfinite(areas[measured.positions]).sum() < 3:
        return []
    return area_effects(measured, areas, resamples, seed)


def _examples(
    model: Module,
    views: Views,
    normalization: dict[str, Any],
    measured: Measurement,
    shown: Sequence[int],
    count: int,
) -> list[Example]:
    """Return single images, spread evenly over those that could be read; of shapes, the objects that are drawn larger.

    The channels are those of the second unit that is shown: SK_3_4 in an SKNet-50, as in the paper.
    """
    kind = DRAWN if any(condition.kind == DRAWN for condition in views.conditions) else ENLARGED
    chosen = [i for i, condition in enumerate(views.conditions) if condition == ORIGINAL or condition.kind == kind]
    meter = AttentionMeter(model, normalization, len(views.conditions))
    middle = shown[min(1, len(shown) - 1)]
    largest = int(meter.units[middle].fields.argmax())
    found = []
    for row in np.arange(min(count, len(measured.positions))) * len(measured.positions) // max(1, count):
        position = int(measured.positions[row])
        strips, labels = views.strips.fetch([position])
        attention = meter.attention(strips)[middle][0]
        pixels = strips[0].reshape(3, len(views.conditions), -1, strips.shape[3]).transpose(1, 2, 3, 0)
        found.append(
            Example(
                name=_name_of(views.strips, position, int(labels[0])),
                conditions=tuple(views.conditions[i] for i in chosen),
                pixels=pixels[chosen],
                values=measured.values[row][chosen],
                equal=np.array([unit.fields.mean() if meter.as_field else 0.0 for unit in meter.units]),
                channels=attention[chosen, largest].astype(np.float64),
                unit=meter.units[middle].name,
            )
        )
    return found


def _name_of(strips: Dataset, position: int, label: int) -> str:
    file = f"{Path(str(strips.files[position])).name}, " if isinstance(strips, (ImageFolder, ImageFiles)) else ""
    return f"{file}{strips.classes[label]}" if file else f"{strips.classes[label]}, image {position}"
