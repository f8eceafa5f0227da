"""`minisk scaling MODEL`: predict the time of a data-parallel step for 2 to 1,024 ranks."""

import argparse
import math
from typing import Any

from ..errors import MiniskError
from .text import MOST, add_command, flag, require_positive

_RANKS = [2**power for power in range(11)]


def add_to(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = add_command(commands, "scaling", "predict the time of a data-parallel step for 2 to 1,024 ranks")
    parser.add_argument("model", help="name of a model, such as sknet50")
    parser.add_argument("--batch-size", type=int, required=True, metavar="N", help="images of one rank in a step")
    parser.add_argument(
        "--images-per-second", type=float, required=True, metavar="F", help="of one rank alone, as training prints it"
    )
    parser.add_argument(
        "--bandwidth", type=float, required=True, metavar="F", help="of one rank's link, in 10⁹ bytes per second"
    )
    parser.add_argument("--latency", type=float, required=True, metavar="F", help="of a message, in microseconds")
    parser.add_argument("--bucket-mb", type=float, default=4.0, metavar="F", help="size of a bucket (default: 4 MB)")
    parser.add_argument("--sync-bn", action=argparse.BooleanOptionalAction, default=True, help="as in training")
    parser.add_argument("--ranks", type=int, nargs="+", default=_RANKS, metavar="N", help="default: 1, 2, 4, … 1024")
    parser.add_argument("--size", type=int, help="height and width of the image (default: the model's own)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the assumptions, then a row for each number of ranks."""
    from ..distributed.scaling import Machine, predict_step

    require_positive(arguments, "batch_size", "size")
    for name in ("images_per_second", "bandwidth", "bucket_mb"):
        if not 0 < getattr(arguments, name) < math.inf:
            raise MiniskError(f"{flag(name)} {getattr(arguments, name)} must be above 0, and finite")
    if not 0 <= arguments.latency < math.inf:
        raise MiniskError(f"--latency {arguments.latency} must be at least 0, and finite")
    if min(arguments.ranks) < 1 or max(arguments.ranks) > MOST:
        raise MiniskError(f"--ranks must be from 1 to {MOST:,}")
    layers = layers_of(arguments.model, arguments.size)
    machine = Machine(arguments.images_per_second, 1e9 * arguments.bandwidth, 1e-6 * arguments.latency)
    size = 4 * sum(layer.parameters for layer in layers)
    norms = sum(layer.channels > 0 for layer in layers)
    print(
        f"{arguments.model}: {size / 1e6:.1f} MB of float32 gradients in buckets of {arguments.bucket_mb:g} MB;"
        f" {norms} batch norms, {'synchronised' if arguments.sync_bn else 'each rank its own'}\n"
        f"assumed: {arguments.batch_size} images a rank, {arguments.images_per_second:g} images/s on one rank,"
        f" {arguments.bandwidth:g} GB/s and {arguments.latency:g} µs on every link; no slow rank, no waiting for data\n"
    )
    print(f"{'ranks':>5} {'step ms':>9} {'compute':>9} {'sums':>9} {'exposed':>9} {'norms':>9} {'images/s':>10} share")
    for ranks in arguments.ranks:
        t = predict_step(layers, arguments.batch_size, ranks, machine, arguments.bucket_mb * 2**20, arguments.sync_bn)
        parts = (t.seconds, t.compute, t.sums, t.exposed, t.batch_norm)
        times = " ".join(f"{1000 * seconds:9.2f}" for seconds in parts)
        print(f"{ranks:5d} {times} {t.images_per_second:10.0f} {100 * t.efficiency:4.0f} %")


def layers_of(name: str, size: int | None = None) -> list[Any]:
    """Return the layers of a model for `predict_step`. size: height and width of the image; None: the model's own."""
    from .. import models
    from ..analysis.summary import summarize
    from ..distributed.scaling import Layer
    from ..nn import init

    about = models.info(name)
    with init.skipped():
        model = models.create(name)
    side = about.input_size if size is None else size
    rows = summarize(model, (3, side, side), auxiliary=side >= about.smallest_size).rows
    return [Layer(row.macs, row.parameters, row.shape[0] if row.kind.startswith("BatchNorm") else 0) for row in rows]
