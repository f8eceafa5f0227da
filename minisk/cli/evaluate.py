"""`minisk evaluate`: measure a checkpoint, or the trained network of the package, on the test images of a data set."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, MiniskError
from ..serialization import csv_text
from .predict import add_weights
from .text import add_command, printable


def add_to(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = add_command(commands, "evaluate", "measure a trained network on the test images of a data set")
    parser.add_argument(
        "--dataset", metavar="NAME", help="shapes, cifar10, cifar100 or folder (default: the network's own)"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the images, as for training")
    parser.add_argument("--out", metavar="DIR", help="write confusion.png, mistakes.png and evaluation.json here")
    parser.add_argument("--csv", action="store_true", help="print the table of classes as CSV, without totals")
    add_weights(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the totals and a table of the classes."""
    from ..data import load_dataset
    from ..evaluation import load_classifier, measure, report_run

    if arguments.out is not None:
        _make_folder(arguments.out)
    classifier = load_classifier(arguments.weights, arguments.device)
    dataset = load_dataset(arguments.dataset or classifier.dataset, arguments.data_dir, "test")
    if classifier.classes != dataset.classes:
        raise CheckpointError(_difference(arguments.weights, classifier.classes, dataset.name, dataset.classes))
    if arguments.out is not None:
        result = report_run(classifier.model, dataset, classifier.normalization, arguments.out)
    else:
        result = measure(classifier.model, dataset, classifier.normalization)
    if arguments.csv:
        rows = [{**row, "class": printable(row["class"])} for row in result.class_rows()]
        print(csv_text(["class", "images", "accuracy"], rows), end="")
        return
    print(f"{arguments.weights}: loss {result.loss:.4f}, accuracy {result.accuracy:.2f} % of {len(dataset):,} images")
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
