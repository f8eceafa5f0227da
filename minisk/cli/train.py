"""Train a selective-kernel network: `python train_cifar.py --help`, `python train_imagenet.py --help`."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.download import download_cifar
from ..distributed import Group, broadcast_json, together
from ..errors import MiniskError
from ..evaluation import load_classifier, report_run
from ..runtime import kernels_in_use
from ..training import Config, Metrics, SettingError, Trainer
from ..training.config import GROUPS, kind_of
from .ranks import run_on_ranks
from .recipes import PROGRAMS, Program
from .signals import stop_signals
from .text import flag, printable
from .train_modes import evaluate_checkpoint, profile_steps
from .train_settings import config_from

EPILOG = """
A setting comes from the first of these that gives it: a flag; --config; --recipe; with --resume, the run itself; the
default. With --resume, settings may be left out; those given must equal the run's own, except --device, and
--data-dir if the images are the same.

Ctrl-C or SIGTERM stops after the current step, writes a checkpoint and prints the command that resumes; a second Ctrl-C
stops at once. If a checkpoint cannot be written (a full disk, for example), this is reported, training goes on and the
next save tries again; the earlier checkpoint stays.
Exit status: 0 done; 1 an error, in one sentence; 2 usage; 130 after Ctrl-C; 143 after SIGTERM.
"""


def parser(program: Program = PROGRAMS["train_cifar"]) -> argparse.ArgumentParser:
    """Describe the command line: a flag per setting of Config, and what does not change the numbers of a run."""
    p = argparse.ArgumentParser(
        description=program.description,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_run_options(p.add_argument_group("the run"), program)
    for group in GROUPS:
        settings = p.add_argument_group(f"settings: {group}")
        for field in dataclasses.fields(Config):
            if field.metadata["group"] == group:
                _add_setting(settings, field, program.defaults.get(field.name, field.default))
    return p


def _add_run_options(run: argparse._ArgumentGroup, program: Program) -> None:
    """Add the options that do not change the numbers of a run, and those that name its files."""
    run.add_argument("--out", default="runs/latest", metavar="DIR", help="folder to write to (default: runs/latest)")
    run.add_argument(
        "--resume",
        action="store_true",
        help="go on from last.safetensors in --out, bit for bit; start if nothing is saved there",
    )
    run.add_argument("--recipe", choices=program.recipes, help="; ".join(map(_recipe_help, program.recipes.items())))
    run.add_argument("--config", metavar="FILE", help="settings from the config.json of another run")
    run.add_argument("--download", action="store_true", help="fetch the official archive into --data-dir first")
    run.add_argument(
        "--save-every",
        type=int,
        default=200,
        metavar="N",
        help="steps between checkpoints, in addition to each epoch's end; 0: none of these (default: 200)",
    )
    run.add_argument(
        "--save-minutes",
        type=float,
        default=5.0,
        metavar="F",
        help="minutes between checkpoints, in addition to the others; 0: none of these (default: 5)",
    )
    run.add_argument("--log-every", type=int, default=50, metavar="N", help="steps between log lines (default: 50)")
    run.add_argument("--recompute", action="store_true", help="save memory: compute each unit again in backward")
    run.add_argument("--profile", action="store_true", help="time ten steps, write trace.json to --out, and end")
    run.add_argument("--workers", type=int, default=0, metavar="N", help="processes preparing batches (default: 0)")
    run.add_argument("--tensorboard", action="store_true", help="write scalars to the folder tensorboard in --out")
    run.add_argument("--eval", metavar="CHECKPOINT", help="measure this checkpoint on the run's test set, and end")


def _recipe_help(recipe: tuple[str, dict[str, Any]]) -> str:
    name, settings = recipe
    flags = (f"{flag(key)} {value}" for key, value in settings.items() if not isinstance(value, bool))
    return f"{name}: {' '.join(flags)}"


def _add_setting(group: argparse._ArgumentGroup, field: dataclasses.Field[Any], default: Any) -> None:
    kind, about = kind_of(field), field.metadata
    text = about["help"] + ("" if default is None else f" (default: {default})")
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


def main(argv: Sequence[str] | None = None, program: str = "train_cifar") -> int:
    """Train. Returns the exit status: 0; 1 after a reported error; 128 + n after signal n; 141 after a broken pipe.

    Args:
        argv: the arguments; by default those of the process.
        program: one of PROGRAMS, which decides defaults and recipes.
    """
    given, about = list(sys.argv[1:] if argv is None else argv), PROGRAMS[program]
    return run_on_ranks(
        program,
        lambda: parser(about).parse_args(given),
        lambda arguments, group: _run(about, arguments, given, group),
    )


def _run(program: Program, arguments: argparse.Namespace, given: Sequence[str], group: Group) -> int:
    again = shlex.join([sys.executable, sys.argv[0], *given, *([] if arguments.resume else ["--resume"])])
    if group.size > 1:
        again = f"mpirun -n {group.size} {again}"
    try:
        config = _shared_config(program, arguments, group)
        if arguments.eval:
            return evaluate_checkpoint(config, arguments.eval) if group.rank == 0 else 0
        return _train(config, arguments, again, group)
    except KeyboardInterrupt:
        saved = (Path(arguments.out) / "last.safetensors").exists()
        rest = f"the last checkpoint is whole; go on from there with\n{again}" if saved else "nothing was saved yet"
        print(f"\nstopped at once; {rest}", file=sys.stderr)
        return 130
    except SettingError as error:
        raise MiniskError(f"{flag(error.setting)} {error.problem}") from error


def _shared_config(program: Program, arguments: argparse.Namespace, group: Group) -> Config:
    """Return rank 0's Config on every rank, after the download that it may ask for."""

    def make() -> dict[str, Any] | None:
        if group.rank > 0:
            return None
        for name, expected in (("out", "a folder"), ("config", "a file"), ("eval", "a checkpoint")):
            if getattr(arguments, name) == "":
                raise MiniskError(f"{flag(name)} is empty, expected {expected}")
        config = config_from(arguments, program)
        if arguments.download:
            if config.data_dir is None:
                raise MiniskError("--download needs --data-dir, the folder to fetch into")
            download_cifar(config.dataset, config.data_dir)
        return dataclasses.asdict(config)

    return Config(**broadcast_json(group, together(group, make)))


def _train(config: Config, arguments: argparse.Namespace, again: str, group: Group) -> int:
    trainer = Trainer(
        config,
        arguments.out,
        arguments.resume,
        save_every=arguments.save_every,
        save_minutes=arguments.save_minutes,
        log_every=arguments.log_every,
        workers=arguments.workers,
        tensorboard=arguments.tensorboard,
        group=group,
    )
    _print_settings(trainer, arguments)
    trainer.model.recompute = arguments.recompute
    if arguments.profile:
        profile_steps(trainer)
        return 0
    with stop_signals() as received:
        for m in trainer.run(stop=lambda: received[-1] if received else 0):
            if group.rank == 0:
                print(_epoch_line(m, config.epochs), flush=True)
    if group.rank > 0:
        return 0 if trainer.finished else 128 + trainer.agreement.stopped_by
    if not trainer.finished:
        print(f"stopped; a checkpoint is written, go on from this step with\n{again}", file=sys.stderr)
        return 128 + trainer.agreement.stopped_by
    best = load_classifier(trainer.out / "best.safetensors", trainer.device).model
    options = {"workers": trainer.test_loader.workers, "max_broken": config.max_broken}
    report = report_run(best, trainer.test_loader.dataset, trainer.normalization, trainer.out, **options)
    what = "checkpoints, tables and pictures" if (trainer.out / "curves.png").exists() else "checkpoints and tables"
    print(f"best test accuracy {report.accuracy:.2f} %; {what} in {printable(arguments.out)}")
    return 0


def _epoch_line(m: Metrics, epochs: int) -> str:
    return (
        f"epoch {m.epoch:3d}/{epochs}  train loss {m.train_loss:.3f} accuracy {m.train_accuracy:5.2f} %"
        f"  test loss {m.test_loss:.3f} accuracy {m.test_accuracy:5.2f} %  {m.images_per_second:.0f} images/s"
    )


def _print_settings(trainer: Trainer, arguments: argparse.Namespace) -> None:
    """Print what will be trained, on what; rank 0 does."""
    config, group = trainer.config, trainer.group
    if group.rank > 0:
        return
    if arguments.resume and not trainer.resumed:
        print(f"nothing is saved in {printable(arguments.out)} yet: starting from step 0")
    size = sum(parameter.size for parameter in trainer.model.parameters())
    print(f"{config.model}: {size:,} parameters, on {trainer.device}; {config.dataset}: {len(trainer.classes)} classes")
    print(f"kernels: {kernels_in_use(trainer.device)}")
    if group.size > 1:
        how = "synchronised" if config.sync_bn else "each rank's own"
        print(f"{group.size} processes on {group.library}; batch norm's statistics: {how}", flush=True)
