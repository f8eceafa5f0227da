"""`minisk export MODEL FILE.onnx`: write a network as ONNX, for other runtimes."""

import argparse
import os
from typing import Any

from ..errors import MiniskError
from .text import add_command, printable, require_positive


def add_to(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = add_command(commands, "export", "write a network as an ONNX file, for batches of any size")
    text = "checkpoint, such as best.safetensors; name of a trained network; or name of a model, with random weights"
    parser.add_argument("model", metavar="MODEL", help=text)
    parser.add_argument("file", metavar="FILE.onnx", help="the file to write")
    parser.add_argument("--num-classes", type=int, help="of a model with random weights (default: the model's own)")
    parser.add_argument("--size", type=int, help="height and width of the images (default: the network's own)")
    text = "take pixels of 0 … 255 and normalize them in the file, instead of taking normalized images"
    parser.add_argument("--include-normalization", action="store_true", help=text)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Export the network, and print what was written."""
    from ..creation import randn
    from ..export import export_onnx

    require_positive(arguments, "num_classes", "size")
    model, about = _network(arguments)
    size = about["image_size"] = arguments.size or about["image_size"]
    if arguments.include_normalization and about["normalization"] is None:
        raise MiniskError(f"--include-normalization: {arguments.model} has no normalization; give a checkpoint")
    about["input"] = "pixels of 0 … 255" if arguments.include_normalization else "normalized images"
    normalization = about["normalization"] if arguments.include_normalization else None
    metadata = {name: value for name, value in about.items() if value is not None}
    # Images with distinct values: of zeros, a value that does not come from the images would go unnoticed.
    proto = export_onnx(model, randn(1, 3, size, size), arguments.file, normalization=normalization, metadata=metadata)
    shapes = f"(batch, 3, {size}, {size}) → (batch, {proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value})"
    megabytes = os.path.getsize(arguments.file) / 1e6
    weights = about["weights"]
    print(f"{printable(arguments.file)}: {about['model']} with {weights} weights, {about['input']} {shapes}, ", end="")
    print(f"{len(proto.graph.node)} nodes, {megabytes:.1f} MB, checked by onnx")


def _network(arguments: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """Return a model in evaluation mode, and what the file's metadata say about it. Raises MiniskError."""
    from .. import models
    from ..evaluation import load_classifier
    from ..serialization import load_checkpoint

    name = arguments.model
    if name in models.NAMES:
        info = models.info(name)
        model = models.create(name, arguments.num_classes).eval()
        return model, {
            "model": name,
            "weights": "random",
            "image_size": info.input_size,
            "normalization": info.normalization,
            "channel_order": info.channel_order,
        }
    if arguments.num_classes is not None:
        raise MiniskError(f"--num-classes {arguments.num_classes} is for models with random weights, not for {name}")
    if name not in models.TRAINED and not os.path.exists(name):
        known = f"one of {', '.join([*models.TRAINED, *models.NAMES])}"
        raise MiniskError(f"{name!r} is no file and no known network: expected a checkpoint, or {known}")
    classifier = load_classifier(name, "cpu")
    saved = load_checkpoint(models.TRAINED.get(name, name))[1]
    return classifier.model, {
        "model": saved["config"]["model"],
        "weights": "trained",
        "dataset": classifier.dataset,
        "classes": list(classifier.classes),
        "image_size": classifier.size,
        "normalization": classifier.normalization,
        # How photographs become images of that size; of a checkpoint of ImageNet only.
        "crop": saved.get("crop"),
        "interpolation": saved.get("interpolation"),
    }
