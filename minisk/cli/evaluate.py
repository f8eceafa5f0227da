"""`minisk evaluate`: measure a checkpoint, or the trained network of the package, on the test images of a data set."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, MiniskError
from ..serialization import csv_text
from .predict import add_weights
from .text import add_command, printable

_TOP5_FROM = 10  # of ten classes, five is no feat


def add_to(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = add_command(commands, "evaluate", "measure a trained network on the test images of a data set")
    parser.add_argument(
        "--dataset", metavar="NAME", help="shapes, cifar10, cifar100, folder or imagenet (default: the network's own)"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the images, as for training")
    parser.add_argument(
        "--size",
        type=int,
        nargs="+",
        action="extend",
        metavar="N",
        help="imagenet: sides of the central views (default: the network's)",
    )
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that decode photographs")
    parser.add_argument(
        "--max-broken", type=int, default=0, metavar="N", help="photographs that may be left out as unreadable"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="write evaluation.json, pictures and the answers to each image here"
    )
    parser.add_argument("--resume", action="store_true", help="with --out: go on where an evaluation was ended")
    parser.add_argument("--csv", action="store_true", help="print the table of classes as CSV, without totals")
    add_weights(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the totals and a table of the classes; with several sizes, a line for each size."""
    from ..evaluation import load_classifier
    from ..evaluation.classifier import LARGEST_SIDE

    if arguments.out is not None:
        _make_folder(arguments.out)
    elif arguments.resume:
        raise MiniskError("--resume has no effect without --out: no answers are kept")
    classifier = load_classifier(arguments.weights, arguments.device)
    name = arguments.dataset or classifier.dataset
    if arguments.size and name != "imagenet":
        raise MiniskError(f"--size has no effect: the images of {name} have one size; it needs --dataset imagenet")
    if any(not 1 <= size <= LARGEST_SIDE for size in arguments.size or ()):
        raise MiniskError(f"--size {' '.join(map(str, arguments.size))}: expected 1 to {LARGEST_SIDE} pixels")
    sizes = arguments.size or [classifier.size]
    rows: list[dict[str, Any]] = []
    for size in sizes:
        started = time.perf_counter()
        folder = None if arguments.out is None else arguments.out if len(sizes) == 1 else f"{arguments.out}/{size}"
        result = _measured(arguments, classifier, name, size, folder)
        if arguments.csv:
            rows += [{**row, "class": printable(row["class"]), "size": size} for row in result.class_rows()]
            continue
        images = int(result.confusion.sum())
        speed = f", {images / (time.perf_counter() - started):.0f} images/s" if name == "imagenet" else ""
        at = f" at {size} pixels" if name == "imagenet" else ""
        top5 = f", top-5 {result.top5:.2f} %" if len(result.classes) > _TOP5_FROM else ""
        unread = f"; {len(result.broken)} could not be read" if result.broken else ""
        print(
            f"{arguments.weights}{at}: loss {result.loss:.4f}, accuracy {result.accuracy:.2f} %{top5}"
            f" of {images:,} images{speed}{unread}"
        )
        if len(sizes) == 1:
            _print_classes(result)
    if arguments.csv:
        columns = [*(["size"] if len(sizes) > 1 else []), "class", "images", "accuracy"]
        print(csv_text(columns, [{name: row[name] for name in columns} for row in rows]), end="")


def _measured(arguments: argparse.Namespace, classifier: Any, name: str, size: int, folder: str | None) -> Any:
    """Return the Evaluation of a classifier on views of one size; write the report to the folder, if one is given."""
    from ..data import load_dataset
    from ..evaluation import measure, report_run

    dataset = load_dataset(name, arguments.data_dir, "test", view=classifier.view(size))
    if classifier.classes != dataset.classes:
        raise CheckpointError(_difference(arguments.weights, classifier.classes, dataset.name, dataset.classes))
    options: dict[str, Any] = {"workers": arguments.workers, "max_broken": arguments.max_broken}
    if folder is not None:
        _make_folder(folder)
        options |= {"keep": Path(folder) / "answers.safetensors", "resume": arguments.resume}
        return report_run(classifier.model, dataset, classifier.normalization, folder, **options)
    return measure(classifier.model, dataset, classifier.normalization, **options)


def _print_classes(result: Any) -> None:
    """Print a line for each class: its images, its accuracy, and the class that it is most often taken for."""
    errors = result.confusion.copy()
    errors[range(len(errors)), range(len(errors))] = 0
    width = max(len(printable(name)) for name in result.classes)
    for row, wrong in zip(result.class_rows(), errors, strict=True):
        accuracy = "       –" if row["accuracy"] is None else f"{row['accuracy']:6.2f} %"
        predicted = printable(result.classes[wrong.argmax()])
        note = f"  {wrong.max():,} taken for {predicted}" if wrong.any() else ""
        print(f"  {printable(row['class']):<{width}}  {row['images']:>7,} images  {accuracy}{note}")


def _make_folder(name: str) -> None:
    if not name:
        raise MiniskError("--out is empty, expected a folder")
    try:
        Path(name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MiniskError(f"output folder {name} can't be written to: {error.strerror}") from error


def _difference(weights: str, own: Sequence[str], dataset: str, found: Sequence[str]) -> str:
    """Describe how the classes of a network and of a data set differ: their number, or the first name that differs."""
    if len(own) != len(found):
        return f"{weights} was trained on {len(own)} classes, but {dataset} has {len(found)}"
    mine, other = next((a, b) for a, b in zip(own, found, strict=True) if a != b)
    return f"{weights} was trained on the class {mine!r} where {dataset} has {other!r}"
