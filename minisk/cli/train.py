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

from ..analysis.profiler import profile
from ..data import load_dataset
from ..data.download import download_cifar
from ..errors import MiniskError
from ..evaluation import load_classifier, measure, report_run
from ..runtime import kernels_in_use
from ..training import Config, SettingError, Trainer
from ..training.config import GROUPS, kind_of
from .recipes import RECIPES
from .text import flag

EPILOG = """
A setting comes from the first of these that gives it: a flag; --config; --recipe; with --resume, the run itself; the
default. With --resume, settings may be left out; those given must equal the run's own, except --device.

Ctrl-C or SIGTERM stops after the current step, writes a checkpoint and prints the command that resumes; a second Ctrl-C
stops at once. If a checkpoint cannot be written (a full disk, for example), this is reported, training goes on and the
next save tries again; the earlier checkpoint stays.
Exit status: 0 done; 1 an error, in one sentence; 2 usage; 130 after Ctrl-C; 143 after SIGTERM.
"""


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
        help="steps between checkpoints, in addition to each epoch's end; 0: none of these (default: 200)",
    )
    run.add_argument("--log-every", type=int, default=50, metavar="N", help="steps between log lines (default: 50)")
    run.add_argument("--recompute", action="store_true", help="save memory: compute each unit again in backward")
    run.add_argument("--profile", action="store_true", help="time ten steps, write trace.json to --out, and end")
    run.add_argument("--workers", type=int, default=0, metavar="N", help="processes preparing batches (default: 0)")
    run.add_argument("--tensorboard", action="store_true", help="write scalars to the folder tensorboard in --out")
    run.add_argument("--eval", metavar="CHECKPOINT", help="measure this checkpoint on the run's test set, and end")
    for group in GROUPS:
        settings = p.add_argument_group(f"settings: {group}")
        for field in dataclasses.fields(Config):
            if field.metadata["group"] == group:
                _add_setting(settings, field)
    return p


def _recipe_help(name: str) -> str:
    flags = (f"{flag(key)} {value}" for key, value in RECIPES[name].items() if not isinstance(value, bool))
    return f"{name}: {' '.join(flags)}"


def _add_setting(group: argparse._ArgumentGroup, field: dataclasses.Field[Any]) -> None:
    kind, about = kind_of(field), field.metadata
    text = about["help"] + ("" if field.default is None else f" (default: {field.default})")
    # A flag that is not given is absent, which distinguishes it from a default.
    options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text}
    if kind is bool:
        group.add_argument(flag(field.name), action=argparse.BooleanOptionalAction, **options)
        return
    options["type"] = kind
    if about["choices"] and field.name != "model":
        group.add_argument(flag(field.name), choices=about["choices"], **options)
    else:
        group.add_argument(flag(field.name), metavar=about["metavar"], **options)


def main(argv: Sequence[str] | None = None) -> int:
    """Train. Returns the exit status: 0; 1 after a reported error; 128 + n after signal n."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = parser().parse_args(given)
    again = shlex.join([sys.executable, sys.argv[0], *given, *([] if arguments.resume else ["--resume"])])
    try:
        config = _config(arguments)
        if arguments.download:
            if config.data_dir is None:
                raise MiniskError("--download needs --data-dir, the folder to fetch into")
            download_cifar(config.dataset, config.data_dir)
        if arguments.eval:
            return _evaluate(config, arguments.eval)
        return _train(config, arguments, again)
    except KeyboardInterrupt:
        saved = (Path(arguments.out) / "last.safetensors").exists()
        rest = f"the last checkpoint is whole; go on from there with\n{again}" if saved else "nothing was saved yet"
        print(f"\nstopped at once; {rest}", file=sys.stderr)
        return 130
    except (MiniskError, OSError) as error:
        text = f"{flag(error.setting)} {error.problem}" if isinstance(error, SettingError) else str(error)
        print(f"train_cifar: {text}", file=sys.stderr)
        return 1


def _evaluate(config: Config, checkpoint: str) -> int:
    """Print loss and accuracy of a checkpoint on the test set that the settings describe. Return the exit status."""
    classifier = load_classifier(checkpoint, config.device)
    test_set = load_dataset(config.dataset, config.data_dir, "test", size_limit=config.test_images)
    if classifier.classes != test_set.classes:
        raise MiniskError(f"--eval {checkpoint} has other classes than --dataset {config.dataset}")
    result = measure(classifier.model, test_set, classifier.normalization)
    print(f"{checkpoint}: test loss {result.loss:.4f} accuracy {result.accuracy:.2f} % of {len(test_set):,} images")
    return 0


def _config(arguments: argparse.Namespace) -> Config:
    settings: dict[str, Any] = {}
    own = Path(arguments.out) / "config.json"
    if (arguments.resume or arguments.eval) and own.exists():
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
        raise MiniskError(f"settings {path} name unknown settings: {', '.join(unknown)}")
    return settings


def _train(config: Config, arguments: argparse.Namespace, again: str) -> int:
    trainer = Trainer(
        config,
        arguments.out,
        arguments.resume,
        save_every=arguments.save_every,
        log_every=arguments.log_every,
        workers=arguments.workers,
        tensorboard=arguments.tensorboard,
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
    """Collect SIGINT (Ctrl-C) and SIGTERM in a list instead of ending the process; main thread only.

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
