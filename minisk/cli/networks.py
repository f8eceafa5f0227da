"""What a network is, sees and gets wrong: `minisk summary MODEL`, `minisk predict IMAGE…` and `minisk evaluate`.

The latter two take `--weights FILE`, a checkpoint that training wrote, or ask the trained network that comes along.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, DataError, MiniskError


def add_to(commands: Any) -> None:
    """Describe the arguments of the three commands."""
    summary = commands.add_parser("summary", help="print a model's layers, shapes, parameters and multiply-adds")
    summary.add_argument("model", help="name of a model, such as sknet50")
    summary.add_argument("--num-classes", type=int, help="classes to tell apart (default: the model's own)")
    summary.add_argument("--size", type=int, help="height and width of the image (default: the model's own)")
    summary.set_defaults(run=run_summary)
    predict = commands.add_parser("predict", help="tell what a trained network sees in image files")
    predict.add_argument("images", nargs="+", metavar="IMAGE", help="PNG, JPEG, GIF, BMP, WebP, TIFF or PPM, any size")
    predict.add_argument("--json", action="store_true", help="print JSON instead of a table")
    predict.set_defaults(run=run_predict)
    evaluate = commands.add_parser("evaluate", help="measure a trained network on the test images of a data set")
    evaluate.add_argument("--dataset", metavar="NAME", help="shapes, cifar10 or cifar100 (default: the network's own)")
    evaluate.add_argument("--data-dir", metavar="DIR", help="where CIFAR is, as for training")
    evaluate.add_argument("--out", metavar="DIR", help="write confusion.png, mistakes.png and evaluation.json here")
    evaluate.set_defaults(run=run_evaluate)
    for parser in (predict, evaluate):
        told = "checkpoint, such as best.safetensors, or the name of a trained network (default: %(default)s)"
        parser.add_argument("--weights", default="sknet_small-cifar10", metavar="FILE", help=told)
        parser.add_argument("--device", default="auto", metavar="{auto,cpu,cuda}", help="default: auto")


def run_summary(arguments: argparse.Namespace) -> None:
    """Print the table of layers."""
    from .. import models
    from ..analysis.summary import summarize

    for option in ("num_classes", "size"):
        value = getattr(arguments, option)
        if value is not None and value < 1:
            raise MiniskError(f"--{option.replace('_', '-')} {value} must be at least 1")
    model = models.create(arguments.model, arguments.num_classes)
    size = models.input_size(arguments.model) if arguments.size is None else arguments.size
    print(summarize(model, (3, size, size)))


def run_predict(arguments: argparse.Namespace) -> int:
    """Answer for each image that can be read. Returns 1 if one could not."""
    from ..data.images import read_image
    from ..evaluation.classifier import load_classifier

    classifier = load_classifier(arguments.weights, arguments.device)
    image_width = max(len(_printable(name)) for name in arguments.images)
    class_width = max(len(_printable(name)) for name in classifier.classes)
    answers: list[dict[str, Any]] = []
    for name in arguments.images:
        try:
            top = classifier.top(read_image(name))
        except DataError as error:
            print(f"minisk predict: {_printable(str(error))}", file=sys.stderr)
            answers.append({"image": name, "error": str(error)})
            continue
        answers.append({"image": name, "top": [{"class": c, "probability": p} for c, p in top]})
        if not arguments.json:
            for row, (class_name, probability) in enumerate(top):
                shown = _printable(name) if row == 0 else ""
                print(f"{shown:<{image_width}}  {_printable(class_name):<{class_width}}  {100 * probability:6.2f} %")
    if arguments.json:
        print(json.dumps(answers, indent=1))
    return int(any("error" in answer for answer in answers))


def run_evaluate(arguments: argparse.Namespace) -> None:
    """Print the totals and a table of the classes."""
    from ..data import load_dataset
    from ..evaluation.classifier import load_classifier, measure, report_run

    classifier = load_classifier(arguments.weights, arguments.device)
    dataset = load_dataset(arguments.dataset or classifier.dataset, arguments.data_dir, "test")
    if classifier.classes != dataset.classes:
        told, found = (f"{len(of.classes)} classes ({of.classes[0]}, …)" for of in (classifier, dataset))
        raise CheckpointError(f"{arguments.weights} tells apart {told}, but {dataset.name} has {found}")
    if arguments.out:
        Path(arguments.out).mkdir(parents=True, exist_ok=True)
        result = report_run(classifier.model, dataset, classifier.normalization, arguments.out)
    else:
        result = measure(classifier.model, dataset, classifier.normalization)
    print(f"{arguments.weights}: loss {result.loss:.4f}, accuracy {result.accuracy:.2f} % of {len(dataset):,} images")
    errors = result.confusion.copy()
    errors[range(len(errors)), range(len(errors))] = 0
    width = max(len(_printable(name)) for name in result.classes)
    for row, wrong in zip(result.as_json()["classes"], errors, strict=True):
        accuracy = "       –" if row["accuracy"] is None else f"{row['accuracy']:6.2f} %"
        taken_for = _printable(result.classes[wrong.argmax()])
        note = f"  {wrong.max():,} taken for {taken_for}" if wrong.any() else ""
        print(f"  {_printable(row['class']):<{width}}  {row['images']:>7,} images  {accuracy}{note}")


def _printable(text: str) -> str:
    """Escape a name that would move a terminal's cursor, or that no encoding holds."""
    return text if text.isprintable() else repr(text)
