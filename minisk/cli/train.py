"""Train a selective-kernel network on CIFAR, or on generated shapes: `python train_cifar.py --help`."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from .. import MiniskError, profile
from ..data.download import download_cifar
from ..evaluation.classifier import load_classifier, report_run
from ..runtime import kernels_in_use
from ..training.config import kind_of
from ..training.trainer import Config, Trainer

EPILOG = """
What decides a setting: a flag given here; else --config; else --recipe; else, with --resume, the run itself; else the
default. With --resume, settings may be left out, and those given must be the run's own (but for --device).

Ctrl-C or SIGTERM stops after the current step, with a checkpoint and the command that goes on; a second Ctrl-C stops at
once. A checkpoint that can't be written, as on a full disk, is told and tried again at the next save; training goes on
and the earlier checkpoint stays. Exit status: 0 done; 1 an error, told in a sentence; 2 usage; 130 after Ctrl-C; 143
after SIGTERM.
"""


RECIPES: dict[str, dict[str, Any]] = {
    # ResNeXt-29 on CIFAR (Xie et al., 2017), which SKNet-29 follows; "step" falls at epochs 150 and 225 of 300.
    "paper": {
        "model": "sknet29",
        "epochs": 300,
        "batch_size": 128,
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": "step",
        "warmup_epochs": 0.0,
        "crop_padding": 4,
        "mirror": True,
    },
    # Half an hour on two cores, to 86.2 % on CIFAR-10: the trained network that comes with the package.
    "quick": {
        "model": "sknet_small",
        "epochs": 21,
        "small_epochs": 11,
        "batch_size": 128,
        "lr": 0.4,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": "onecycle",
        "warmup_epochs": 0.0,
        "label_smoothing": 0.1,
        "crop_padding": 4,
        "mirror": True,
    },
}


def parser() -> argparse.ArgumentParser:
    """Describe the command line: a flag per setting of Config, and what does not change the numbers of a run."""
    p = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    run = p.add_argument_group("the run")
    run.add_argument("--out", default="runs/latest", metavar="DIR", help="folder to write to (default: runs/latest)")
    run.add_argument("--resume", action="store_true", help="go on from last.safetensors in --out, bit for bit")
    run.add_argument("--recipe", choices=RECIPES, help="; ".join(map(_recipe_help, RECIPES)))
    run.add_argument("--config", metavar="FILE", help="settings from the config.json of another run")
    run.add_argument("--download", action="store_true", help="fetch the official archive into --data-dir first")
    run.add_argument(
        "--save-every",
        type=int,
        default=200,
        metavar="N",
        help=("steps between checkpoints, beside those at the end of each epoch; 0: only those (default: 200)"),
    )
    run.add_argument("--log-every", type=int, default=50, metavar="N", help="steps between log lines (default: 50)")
    run.add_argument("--recompute", action="store_true", help="need less memory: run each unit again in backward")
    run.add_argument("--profile", action="store_true", help="time ten steps, write trace.json to --out, and end")
    run.add_argument("--workers", type=int, default=0, metavar="N", help="processes preparing batches (default: 0)")
    settings = p.add_argument_group("settings")
    for field in dataclasses.fields(Config):
        _add_setting(settings, field)
    return p


def _recipe_help(name: str) -> str:
    flags = (f"{_flag(key)} {value}" for key, value in RECIPES[name].items() if not isinstance(value, bool))
    return f"{name}: {' '.join(flags)}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _add_setting(group: argparse._ArgumentGroup, field: dataclasses.Field[Any]) -> None:
    kind, about = kind_of(field), field.metadata
    told = about["help"] + ("" if field.default is None else f" (default: {field.default})")
    # Left out means absent, so that what was given can be told from a default.
    options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": told}
    if kind == "bool":
        group.add_argument(_flag(field.name), action=argparse.BooleanOptionalAction, **options)
        return
    options |= {"type": {"int": int, "float": float, "str": str}[kind]}
    if about["choices"] and field.name != "model":
        group.add_argument(_flag(field.name), choices=about["choices"], **options)
    else:
        group.add_argument(_flag(field.name), metavar=about["metavar"], **options)


def main(argv: Sequence[str] | None = None) -> int:
    """Train. Returns the exit status: 0; 1 after an error told in a sentence; 128 + n after signal n."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = parser().parse_args(given)
    again = shlex.join([sys.executable, sys.argv[0], *given, *([] if arguments.resume else ["--resume"])])
    try:
        config = _config(arguments)
        if arguments.download:
            if config.data_dir is None:
                raise MiniskError("--download needs --data-dir, the folder to fetch into")
            download_cifar(config.dataset, config.data_dir)
        return _train(config, arguments, again)
    except KeyboardInterrupt:
        saved = (Path(arguments.out) / "last.safetensors").exists()
        rest = f"the last checkpoint is whole; go on from there with\n{again}" if saved else "nothing was saved yet"
        print(f"\nstopped at once; {rest}", file=sys.stderr)
        return 130
    except (MiniskError, OSError) as error:
        print(f"train_cifar: {error}", file=sys.stderr)
        return 1


def _config(arguments: argparse.Namespace) -> Config:
    settings: dict[str, Any] = {}
    own = Path(arguments.out) / "config.json"
    if arguments.resume and own.exists():
        settings |= read_config(own)
    settings |= RECIPES[arguments.recipe] if arguments.recipe else {}
    settings |= read_config(arguments.config) if arguments.config else {}
    names = {field.name for field in dataclasses.fields(Config)}
    return Config(**settings | {name: value for name, value in vars(arguments).items() if name in names})


def read_config(path: str | Path) -> dict[str, Any]:
    """Read settings from a config.json. Raises MiniskError if it is missing, damaged or names an unknown setting."""
    try:
        settings = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise MiniskError(f"settings {path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise MiniskError(f"settings {path} are not JSON: {error}") from error
    if not isinstance(settings, dict):
        raise MiniskError(f"settings {path} are a JSON {type(settings).__name__}, expected an object")
    unknown = sorted(settings.keys() - {field.name for field in dataclasses.fields(Config)})
    if unknown:
        raise MiniskError(f"settings {path} name what is no setting: {', '.join(unknown)}")
    return settings


def _train(config: Config, arguments: argparse.Namespace, again: str) -> int:
    trainer = Trainer(
        config,
        arguments.out,
        arguments.resume,
        save_every=arguments.save_every,
        log_every=arguments.log_every,
        workers=arguments.workers,
    )
    size = sum(parameter.size for parameter in trainer.model.parameters())
    print(f"{config.model}: {size:,} parameters, on {trainer.device}; {config.dataset}: {len(trainer.classes)} classes")
    print(f"kernels: {kernels_in_use(trainer.device)}")
    trainer.model.recompute = arguments.recompute
    if arguments.profile:
        _profile(trainer)
        return 0
    with stop_signals() as received:
        for m in trainer.run(stop=lambda: bool(received)):
            print(
                f"epoch {m.epoch:3d}/{config.epochs}  train loss {m.train_loss:.3f} accuracy {m.train_accuracy:5.2f} %"
                f"  test loss {m.test_loss:.3f} accuracy {m.test_accuracy:5.2f} %  {m.images_per_second:.0f} images/s",
                flush=True,
            )
    if not trainer.finished:
        print(f"stopped; a checkpoint is written, go on from this step with\n{again}", file=sys.stderr)
        return 128 + received[-1]
    best = load_classifier(trainer.out / "best.safetensors", trainer.device).model
    report = report_run(best, trainer.test_loader.dataset, trainer.normalization, trainer.out)
    print(f"best test accuracy {report.accuracy:.2f} %; checkpoints, tables and pictures in {arguments.out}")
    return 0


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect each SIGINT (Ctrl-C) and SIGTERM in a list for a while, to be acted on when it suits; main thread only.

    A SIGINT that is not the first signal raises KeyboardInterrupt.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _profile(trainer: Trainer) -> None:
    """Print where the time of ten steps goes, after three that build kernels and fetch memory; save nothing else."""
    trainer.model.train()
    batches = itertools.chain.from_iterable(map(trainer.train_loader.epoch, itertools.count(1)))
    for batch in itertools.islice(batches, 3):
        trainer.train_step(batch)
    with profile(trainer.model) as found:
        for batch in itertools.islice(batches, 10):
            trainer.train_step(batch)
    print(found)
    trainer.out.mkdir(parents=True, exist_ok=True)
    found.save_trace(trainer.out / "trace.json")
    print(f"every operation in time: {trainer.out / 'trace.json'}, for chrome://tracing or ui.perfetto.dev")


if __name__ == "__main__":
    sys.exit(main())
