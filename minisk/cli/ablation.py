"""`minisk ablation STUDY`: train variants of a small SKNet from several seeds, and print a table of them."""

import argparse
import shlex
import sys
from typing import Any

from ..errors import MiniskError
from .signals import stop_signals
from .text import add_command, flag, printable, require_positive

# Settings that a study may change. "shapes" needs no shift: its objects are at random places already.
_SETTINGS = (
    "dataset",
    "data_dir",
    "epochs",
    "batch_size",
    "lr",
    "crop_padding",
    "train_images",
    "test_images",
    "device",
)


NAMES = ("branches", "dilation", "groups", "r", "L", "select", "one-kernel")  # of models.ablations.STUDIES


def add_to(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = add_command(commands, "ablation", "train variants of a small SKNet, and compare their accuracies")
    parser.add_argument("study", choices=[*NAMES, "all"], help="what differs between the variants")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder; the same command goes on with what is in it"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="default: 0 1 2")
    parser.add_argument("--dataset", default="shapes", metavar="NAME", help="shapes, cifar10, … (default: shapes)")
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the images, as for training")
    parser.add_argument("--epochs", type=int, default=6, metavar="N", help="default: 6")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="images per step (default: 64)")
    parser.add_argument("--lr", type=float, default=0.1, metavar="F", help="peak learning rate (default: 0.1)")
    parser.add_argument(
        "--crop-padding", type=int, metavar="N", help="largest shift (default: 0 for shapes, 4 for others)"
    )
    parser.add_argument("--train-images", type=int, metavar="N", help="use only this many")
    parser.add_argument("--test-images", type=int, metavar="N", help="use only this many")
    parser.add_argument("--device", default="auto", metavar="{auto,cpu,cuda}", help="default: auto")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train what is missing, and print a line for each run and the table. Return 128 + n after signal n."""
    from ..models.ablations import STUDIES
    from ..training import Config, SettingError
    from ..training.ablation import run_study, table

    require_positive(arguments, "epochs", "batch_size")
    if not arguments.out:
        raise MiniskError("--out is empty, expected a folder")
    settings = {name: getattr(arguments, name) for name in _SETTINGS}
    if settings["crop_padding"] is None:
        settings["crop_padding"] = 0 if settings["dataset"].startswith("shapes") else 4
    chosen = STUDIES.values() if arguments.study == "all" else [STUDIES[arguments.study]]
    variants = list(dict.fromkeys(variant for study in chosen for variant in study))
    results = []
    with stop_signals() as received:
        try:
            config = Config(**settings)
            for result in run_study(variants, config, arguments.seeds, arguments.out, lambda: bool(received)):
                about = f"{result.parameters:,} parameters, accuracy {result.accuracy:.2f} %, {result.seconds:.0f} s"
                print(f"{result.variant}, seed {result.seed}: {about}", flush=True)
                results.append(result)
        except SettingError as error:
            raise MiniskError(f"{flag(error.setting)} {error.problem}") from error
        except KeyboardInterrupt:
            received.append(2)
    if results:
        print(table(results, variants))
    if len(results) < len(variants) * len(arguments.seeds):
        again = shlex.join([sys.executable, "-m", "minisk", *sys.argv[1:]])
        print(f"stopped; go on from here with\n{printable(again)}", file=sys.stderr)
        return 128 + received[-1]
    return 0
