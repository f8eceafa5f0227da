"""`minisk attention CHECKPOINT`: the SKNet paper's analysis of attention, with controls, as one page of HTML."""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import MiniskError
from .text import add_command, printable, require_positive


def add_to(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = add_command(commands, "attention", "show which kernels a network chooses for small and large objects")
    text = "file or name of a trained network; or the name of a model, which gets random weights"
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=text)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", metavar="DIR", help="folder of the data set; its test images are used")
    source.add_argument("--images", nargs="+", metavar="PATH", help="image files, or folders of them, instead")
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="shapes, shapes_varied, cifar10, cifar100, folder or imagenet (default: the network's own)",
    )
    parser.add_argument("--boxes", metavar="FILE", help="CSV of the objects' boxes: class, file, x0, y0, x1, y1")
    parser.add_argument(
        "--scales", type=float, nargs="+", default=[1.5, 2.0], metavar="F", help="how much larger (default: 1.5 2.0)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="use only this many images, evenly spread")
    parser.add_argument("--examples", type=int, default=4, metavar="N", help="single images to show (default: 4)")
    parser.add_argument("--out", default="attention", metavar="DIR", help="new folder (default: attention)")
    parser.add_argument("--device", default="auto", metavar="{auto,cpu,cuda}", help="default: auto")
    parser.set_defaults(run=run)


class _Network(NamedTuple):
    model: Any
    normalization: dict[str, Any]
    size: int
    crop: float
    dataset: str
    name: str
    note: str


def run(arguments: argparse.Namespace) -> None:
    """Measure, print what was found, and write the report."""
    from ..analysis.attention import check_folder, study_attention, views_of_data, views_of_files, write_report

    require_positive(arguments, "limit")
    if not arguments.out:
        raise MiniskError("--out is empty, expected a folder")
    check_folder(Path(arguments.out))
    if arguments.images and (arguments.boxes or arguments.dataset):
        raise MiniskError("--images stand alone: --boxes and --dataset belong to --data")
    network = _load(arguments.checkpoint, arguments.device)
    if arguments.images:
        views = views_of_files(arguments.images, network.size, arguments.scales, arguments.limit, network.crop)
    else:
        name = arguments.dataset or network.dataset
        views = views_of_data(
            name, arguments.data, network.size, arguments.scales, arguments.limit, arguments.boxes, network.crop
        )
    report = study_attention(
        network.model,
        views,
        network.normalization,
        network.name,
        examples=max(0, arguments.examples),
        progress=True,
        notes=[network.note] if network.note else [],
    )
    write_report(report, arguments.out)
    _print(report, arguments.out)


def _load(checkpoint: str, device: str) -> _Network:
    """Return a trained network; or a model with random weights, if this is the name of one and of no file."""
    from .. import models
    from ..analysis.attention.study import CROP
    from ..backend import manual_seed
    from ..data import IMAGENET_NORMALIZATION
    from ..evaluation import load_classifier, resolve_device

    if checkpoint in models.NAMES and not Path(checkpoint).exists():
        about = models.info(checkpoint)
        manual_seed(0)
        model = models.create(checkpoint).to(resolve_device(device)).eval()
        normalization = dict(about.normalization or IMAGENET_NORMALIZATION)
        note = "The weights are random (seed 0): nothing here was learned."
        return _Network(model, normalization, about.input_size, CROP, "imagenet", f"{checkpoint}, random weights", note)
    found = load_classifier(checkpoint, device)
    name = Path(checkpoint).stem if Path(checkpoint).stem != "best" else Path(checkpoint).resolve().parent.name
    return _Network(found.model, found.normalization, found.size, found.crop, found.dataset, name, "")


def _print(report: Any, out: str) -> None:
    measured = report.measured
    print(f"{len(measured.labels):,} images in {len(measured.conditions)} views, {len(measured.units)} units")
    for finding in report.findings():
        print(f"  {finding}")
    for reason in measured.broken:
        print(f"  left out: {printable(reason)}")
    if measured.broken:
        print(f"  could not be read: {len(measured.broken)} of {len(measured.broken) + len(measured.labels):,} images")
    print(
        f"{measured.forward_seconds:.1f} s in the network, {measured.seconds:.1f} s in all; report in {printable(out)}"
    )
