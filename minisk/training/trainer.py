"""Training from start to finish: one `Config` describes a run, `Trainer` carries it out.

What a run writes to its folder; all but the log are replaced as a whole:
    config.json         the Config                          metrics.csv, curves.png   a row, a point per epoch
    last.safetensors    everything needed to go on          log.jsonl                 a line per event
    best.safetensors    the weights of the best epoch       bad_batch.safetensors     what made the loss NaN or infinite
"""

import contextlib
import dataclasses
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from .. import models, ops
from ..autograd.tensor import Tensor
from ..backend import Array, manual_seed, random_state, set_random_state
from ..data import Batch, load_dataset
from ..errors import CheckpointError, MiniskError
from ..evaluation.classifier import Average, count_correct, evaluate, read_together, resolve_device
from ..optim import SGD
from ..serialization import atomic_write, load_checkpoint, save_checkpoint, weights_of
from .config import SCHEDULES, Config, make_loaders
from .run_folder import Metrics, Record, held, progress_bar
from .steps import WeightAverage, clip_gradients, gradient_norm, make_schedule, parameter_groups

__all__ = ["SCHEDULES", "Config", "Metrics", "Trainer", "evaluate"]

log = logging.getLogger("minisk")


@dataclass
class EpochState(Average):
    """Where in which epoch a run is (`step` steps are done), and the sums over that epoch so far; JSON-able."""

    epoch: int = 1
    step: int = 0
    seconds: float = 0.0
    waited: float = 0.0  # of these seconds, for data
    lr: float = 0.0  # of the latest step


class Trainer:
    """One run: its data, model, optimizer and schedule, and the folder it writes to.

    resume: go on from last.safetensors in the folder, from the very step, with the very bits.
    save_every: steps between checkpoints within an epoch; 0: only at its end. log_every: steps between lines of
    log.jsonl. workers: processes that prepare batches. None of these changes a bit of the result.

    Raises CheckpointError if the checkpoint is missing or of another Config, or if a run is in the folder already and
    resume was not asked for; DataError, DeviceError, MiniskError. Nothing is written before `run`.
    """

    def __init__(
        self,
        config: Config,
        out: str | Path,
        resume: bool = False,
        *,
        save_every: int = 200,
        log_every: int = 50,
        workers: int = 0,
    ) -> None:
        if save_every < 0 or log_every < 1 or workers < 0:
            raise MiniskError(f"save_every {save_every}, log_every {log_every}, workers {workers}: expected ≥ 0, 1, 0")
        self.config, self.out, self.last = config, Path(out), Path(out) / "last.safetensors"
        self.save_every, self.log_every = save_every, log_every
        self.device = resolve_device(config.device)
        self._found = _stamp(self.last)
        saved = self._saved_run(resume)
        train_set = load_dataset(config.dataset, config.data_dir, "train", size_limit=config.train_images)
        test_set = load_dataset(config.dataset, config.data_dir, "test", size_limit=config.test_images)
        self.classes = train_set.classes
        self.train_loader, self.test_loader = make_loaders(config, train_set, test_set, workers)
        self.normalization = {"mean": self.train_loader.mean, "std": self.train_loader.std}
        manual_seed(config.seed)
        self.model = models.create(config.model, len(self.classes))
        self.model.to(self.device)
        groups = parameter_groups(self.model, config.weight_decay)
        self.optimizer = SGD(groups, config.lr, config.momentum, nesterov=True)
        self.schedule = make_schedule(config, self.optimizer, len(self.train_loader))
        self.average = WeightAverage(self.model, config.ema) if config.ema else None
        self.state = EpochState()
        self.record, self.history = Record(self.out), list[Metrics]()
        self._unsaved_best: tuple[dict[str, Array], dict[str, Any]] | None = None
        if saved is not None:
            self._restore(*saved)

    @property
    def finished(self) -> bool:
        """Whether every epoch is done."""
        return self.state.epoch > self.config.epochs

    # Running

    def run(self, progress: bool = True, stop: Callable[[], bool] = lambda: False) -> Iterator[Metrics]:
        """Train until the Config's number of epochs, yielding each one's Metrics once it is saved.

        progress: show a bar on a terminal, else a line every minute. stop: asked after each step; if it says yes, the
        run is saved and ends early. A checkpoint that can't be written (a full disk, say) while there is more to do is
        told and tried again at the next save, for the disk may be cleared meanwhile; if it is the last one, or that of
        a stop, it raises CheckpointError. Whatever happens, the earlier checkpoint stays. Raises MiniskError if
        another process holds the folder, and if the loss or the gradient is not finite.
        """
        if self.finished:
            return
        with held(self.out):
            if _stamp(self.last) != self._found:
                raise CheckpointError(f"{self.last} was changed by another process since this one read it")
            self._write_config()
            self.record.event("start", epoch=self.state.epoch, step=self.state.step, device=self.device)
            while not self.finished and not stop():
                self._train_epoch(progress, stop)
                measured = None if stop() else self._evaluate(stop)
                if measured is None or stop():
                    break
                yield self._end_epoch(*measured)
            if not self.finished:
                self._save(must=True)
            self.record.event("stop", finished=self.finished, epoch=self.state.epoch, step=self.state.step)

    def _train_epoch(self, progress: bool, stop: Callable[[], bool]) -> None:
        """Train from where the epoch is to its end, or until told to stop."""
        self.model.train()
        state, epochs = self.state, self.config.epochs
        all_steps = epochs * len(self.train_loader)
        bar = progress_bar(f"epoch {state.epoch}/{epochs}", self.schedule.steps, all_steps, progress)
        self.train_loader.augment = self.config.augment(state.epoch)
        batches = self.train_loader.epoch(state.epoch, state.step)
        with bar, contextlib.closing(batches):
            before = time.perf_counter()
            while (batch := next(batches, None)) is not None:
                fetched, state.lr = time.perf_counter(), self.optimizer.param_groups[0]["lr"]
                loss, norm = self.train_step(batch)
                state.step += 1
                if self.schedule.steps % self.log_every == 0:
                    self.record.event("step", step=self.schedule.steps, loss=loss, gradient_norm=norm, lr=state.lr)
                if self.save_every and self.schedule.steps % self.save_every == 0:
                    self._save()
                now = time.perf_counter()
                state.seconds, state.waited = state.seconds + now - before, state.waited + fetched - before
                before = now
                speed = state.images / state.seconds
                told = f"loss {state.loss:.3f}, accuracy {state.accuracy:.1f} %, {speed:.0f} images/s"
                bar.set_postfix_str(told, refresh=False)
                bar.update()
                if stop():
                    return

    def train_step(self, batch: Batch) -> tuple[float, float]:
        """Take one step. Returns the loss (nats) and the norm of the gradient before clipping."""
        images, labels = batch
        self.optimizer.zero_grad()
        numbers: list[Tensor] = []  # of each part, its share of the loss, and how many images were told right
        for some, their in zip(*(np.array_split(array, self.config.accumulate) for array in batch), strict=True):
            x, y = Tensor(some).to(self.device), Tensor(their).to(self.device)
            logits = self.model(x)
            share = ops.cross_entropy(logits, y, self.config.label_smoothing) * (len(some) / len(images))
            share.backward()
            numbers += [share.detach(), count_correct(logits.detach(), y)]
        *values, norm = read_together([*numbers, gradient_norm(self.model.parameters())])
        loss, correct = sum(values[::2]), sum(values[1::2])
        for what, value in (("loss", loss), ("gradient norm", norm)):
            if not math.isfinite(value):
                self._give_up(what, value, images, labels)
        self.state.add(len(images), loss, correct)
        clip_gradients(self.model.parameters(), norm, self.config.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update()
        return loss, norm

    def _give_up(self, what: str, value: float, images: Array, labels: Array) -> None:
        where = {"epoch": self.state.epoch, "step": self.state.step}
        told = f"the {what} became {value} in epoch {self.state.epoch}, step {self.state.step}: "
        told += f"try a smaller learning rate than {self.config.lr}"
        path = self.out / "bad_batch.safetensors"
        try:
            save_checkpoint(path, {"images": images, "labels": labels}, {what: str(value), **where})
            told += f"; the batch is in {path}"
        except CheckpointError as error:
            log.warning("%s", error)
        self.record.event("not finite", what=what, value=str(value), **where)
        raise MiniskError(told)

    def _evaluate(self, stop: Callable[[], bool]) -> tuple[float, float]:
        """Return test loss and accuracy, of the averaged weights if there are such; without meaning if stopped."""
        with self.average.in_place() if self.average is not None else contextlib.nullcontext():
            return evaluate(self.model, takewhile(lambda _: not stop(), self.test_loader), self.device)

    def _end_epoch(self, test_loss: float, test_accuracy: float) -> Metrics:
        state, seconds = self.state, max(self.state.seconds, 1e-9)
        metrics = Metrics(
            state.epoch,
            state.lr,
            state.loss,
            state.accuracy,
            test_loss,
            test_accuracy,
            state.images / seconds,
            round(state.seconds, 2),
            100 * state.waited / seconds,
        )
        self.history.append(metrics)
        if test_accuracy >= max(epoch.test_accuracy for epoch in self.history):
            best = self.average.arrays if self.average is not None else self._weights()
            self._unsaved_best = ({f"model.{name}": array.copy() for name, array in best.items()}, self._about())
        self.state = EpochState(epoch=state.epoch + 1)
        # The checkpoint comes last: whoever dies before it repeats the end of the epoch, and writes all of this again.
        self.record.epoch(self.history)
        self._save(must=self.finished)
        return metrics

    # Saving and going on

    def _weights(self) -> dict[str, Array]:
        return {name: value.data for name, value in self.model.state_dict().items()}

    def _about(self) -> dict[str, Any]:
        return {
            "config": dataclasses.asdict(self.config),
            "classes": list(self.classes),
            "normalization": self.normalization,
            "history": [dataclasses.asdict(metrics) for metrics in self.history],
        }

    def _write_config(self) -> None:
        try:
            atomic_write(self.out / "config.json", json.dumps(dataclasses.asdict(self.config), indent=2).encode())
        except OSError as error:
            raise MiniskError(f"output folder {self.out} can't be written to: {error.strerror or error}") from error

    def _save(self, must: bool = False) -> None:
        optimizer = self.optimizer.state_dict()
        states = {f"optimizer.{i}.{k}": a for i, state in enumerate(optimizer.pop("state")) for k, a in state.items()}
        arrays = {f"model.{name}": array for name, array in self._weights().items()} | states
        about = {
            **self._about(),
            "optimizer": optimizer,
            "schedule": self.schedule.steps,
            "state": dataclasses.asdict(self.state),
            "random": random_state(),
        }
        if self.average is not None:
            arrays |= {f"average.{name}": array for name, array in self.average.arrays.items()}
            about["average"] = self.average.updates
        try:
            if self._unsaved_best is not None:
                save_checkpoint(self.out / "best.safetensors", *self._unsaved_best)
                self._unsaved_best = None
            save_checkpoint(self.last, arrays, about)
        except CheckpointError as error:
            self.record.event("not saved", epoch=self.state.epoch, step=self.state.step, why=str(error))
            if must:
                raise CheckpointError(f"{error}; make room, then go on from the earlier one with --resume") from None
            log.warning("%s; the earlier one stays, training goes on, and the next save tries again", error)
        else:
            self._found = _stamp(self.last)
            self.record.event("save", epoch=self.state.epoch, step=self.state.step)

    def _saved_run(self, resume: bool) -> tuple[dict[str, Array], dict[str, Any]] | None:
        if not resume:
            if self.last.exists():
                raise CheckpointError(f"{self.out} holds a run already: go on with --resume, or choose another --out")
            return None
        arrays, about = load_checkpoint(self.last)
        changed = self.config.changes_from(about.get("config", {}))
        if changed:
            raise CheckpointError(f"{self.last} can't be resumed with other settings: {'; '.join(changed)}")
        return arrays, about

    def _restore(self, arrays: dict[str, Array], about: dict[str, Any]) -> None:
        try:
            self.model.load_state_dict(weights_of(arrays))
            states: list[dict[str, Any]] = [{} for _ in self.optimizer.state]
            for name, array in weights_of(arrays, "optimizer").items():
                position, _, state_name = name.partition(".")
                states[int(position)][state_name] = array
            self.optimizer.load_state_dict({**about["optimizer"], "state": states})
            self.schedule.go_to(about["schedule"])
            if self.average is not None:
                self.average.load(weights_of(arrays, "average"), about["average"])
            self.history = [Metrics(**row) for row in about["history"]]
            self.state = EpochState(**about["state"])
            set_random_state(about["random"])
        except (LookupError, TypeError) as error:
            raise CheckpointError(f"checkpoint {self.last} lacks what is needed to go on from it: {error}") from error


def _stamp(path: Path) -> tuple[int, int] | None:
    """Identify one version of a file: each is a new one, moved into place."""
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None
