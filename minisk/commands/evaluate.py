"""`minisk evaluate --weights FILE`: loss and accuracy, per class too, and pictures of what goes wrong."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .predict import printable


def add_to(commands: Any) -> None:
    """Describe the command's arguments."""
    parser = commands.add_parser("evaluate", help="measure a trained network on the test images of a data set")
    parser.add_argument("--weights", required=True, metavar="FILE", help="checkpoint, such as best.safetensors")
    parser.add_argument("--dataset", metavar="NAME", help="shapes, cifar10 or cifar100 (default: the checkpoint's own)")
    parser.add_argument("--data-dir", metavar="DIR", help="where CIFAR is, as for training")
    parser.add_argument("--out", metavar="DIR", help="write confusion.png, mistakes.png and evaluation.json here")
    parser.add_argument("--device", default="auto", metavar="{auto,cpu,cuda}", help="where to compute (default: auto)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the totals and a table of the classes."""
    from ..data import load_dataset
    from ..errors import CheckpointError
    from ..predict import load_classifier
    from ..report import measure, report_run

    classifier = load_classifier(arguments.weights, arguments.device)
    dataset = load_dataset(arguments.dataset or classifier.dataset, arguments.data_dir, "test")
    if dataset.classes != classifier.classes:
        told = [f"{len(names)} classes ({names[0]}, …)" for names in (classifier.classes, dataset.classes)]
        raise CheckpointError(f"checkpoint {arguments.weights} tells apart {told[0]}, but {dataset.name} has {told[1]}")
    if arguments.out:
        Path(arguments.out).mkdir(parents=True, exist_ok=True)
        result = report_run(classifier.model, dataset, classifier.normalization, arguments.out)
    else:
        result = measure(classifier.model, dataset, classifier.normalization)
    print(f"{arguments.weights}: loss {result.loss:.4f}, accuracy {result.accuracy:.2f} % of {len(dataset):,} images")
    errors = result.confusion.copy()
    errors[range(len(errors)), range(len(errors))] = 0
    width = max(len(printable(name)) for name in result.classes)
    for row, wrong in zip(result.as_json()["classes"], errors, strict=True):
        accuracy = "       –" if row["accuracy"] is None else f"{row['accuracy']:6.2f} %"
        taken_for = printable(result.classes[wrong.argmax()])
        note = f"  {wrong.max():,} taken for {taken_for}" if wrong.any() else ""
        print(f"  {printable(row['class']):<{width}}  {row['images']:>7,} images  {accuracy}{note}")
