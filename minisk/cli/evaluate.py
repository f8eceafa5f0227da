"""`minisk evaluate`: measure a checkpoint, or the trained network of the package, on the test images of a data set."""

import argparse
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..serialization import csv_text
from .predict import add_weights
from .text import printable


def add_to(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = commands.add_parser("evaluate", help="measure a trained network on the test images of a data set")
    parser.add_argument("--dataset", metavar="NAME", help="shapes, cifar10 or cifar100 (default: the network's own)")
    parser.add_argument("--data-dir", metavar="DIR", help="folder of CIFAR, as for training")
    parser.add_argument("--out", metavar="DIR", help="write confusion.png, mistakes.png and evaluation.json here")
    parser.add_argument("--csv", action="store_true", help="print the table of classes as CSV, without totals")
    add_weights(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the totals and a table of the classes."""
    from ..data import load_dataset
    from ..evaluation import load_classifier, measure, report_run

    classifier = load_classifier(arguments.weights, arguments.device)
    dataset = load_dataset(arguments.dataset or classifier.dataset, arguments.data_dir, "test")
    if classifier.classes != dataset.classes:
        own, found = (f"{len(of.classes)} classes ({of.classes[0]}, …)" for of in (classifier, dataset))
        raise CheckpointError(f"{arguments.weights} has {own}, but {dataset.name} has {found}")
    if arguments.out:
        Path(arguments.out).mkdir(parents=True, exist_ok=True)
        result = report_run(classifier.model, dataset, classifier.normalization, arguments.out)
    else:
        result = measure(classifier.model, dataset, classifier.normalization)
    if arguments.csv:
        print(csv_text(["class", "images", "accuracy"], result.class_rows()), end="")
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
