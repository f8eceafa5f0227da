"""Training from start to finish: one `Config` describes a run, `Trainer` carries it out.

Files in the run's folder; all but the log are replaced as a whole:
    config.json         the Config                          metrics.csv, curves.png   a row, a point per epoch
    last.safetensors    everything needed to resume         log.jsonl                 a line per event
    best.safetensors    the weights of the best epoch       bad_batch.safetensors     the batch whose loss is not finite
    tensorboard/        scalars, if asked for
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from .. import models
from ..autograd import Tensor
from ..backend import Array, manual_seed
from ..data import Batch
from ..errors import MiniskError
from ..evaluation.metrics import count_correct, evaluate, read_together, resolve_device
from ..ops.autocast import autocast
from ..optim import WeightAverage, clip_gradients, gradient_norm
from .checkpoints import Checkpoints
from .config import Config, SettingError
from .images import check_classes, check_same_data, describe_images, load_images, make_loaders
from .mixed_precision import LossScale
from .optimization import freeze_batch_norms, make_optimizer, make_schedule
from .provenance import software, warn_of_other_software
from .run_folder import Metrics, RunLog, hold_folder, progress_bar, write_config
from .state import Position, TrainingState

MOST_RATES = 2000  # points of the learning rate in curves.png


class Trainer:
    """One run: its data, model, optimizer and schedule, and the folder it writes to.

    Nothing is written before `run`. Only `config` decides the bits of the result.

    Args:
        config: the settings of the run.
        out: the run's folder.
        resume: continue from last.safetensors in the folder, at the exact step, with the same bits. If nothing is
            saved there yet, the run starts.
        save_every: steps between checkpoints within an epoch; 0: none of these.
        save_minutes: minutes of wall clock between checkpoints within an epoch; 0: none of these.
        log_every: steps between lines of log.jsonl.
        workers: processes that prepare batches.
        tensorboard: also write scalars for TensorBoard; needs tensorboardX.

    Raises:
        CheckpointError: the checkpoint is of another Config, or the folder holds a run and resume is False.
        DataError, DeviceError, MiniskError: the data, the device or a setting cannot be used.
    """

    def __init__(
        self,
        config: Config,
        out: str | Path,
        resume: bool = False,
        *,
        save_every: int = 200,
        save_minutes: float = 5.0,
        log_every: int = 50,
        workers: int = 0,
        tensorboard: bool = False,
    ) -> None:
        _check_options(out, save_every=(save_every, 0), save_minutes=(save_minutes, 0), log_every=(log_every, 1))
        _check_options(out, workers=(workers, 0))
        self.config, self.out, self.log_every = config, Path(out), log_every
        self.device = resolve_device(config.device)
        self.log = RunLog(self.out, tensorboard)
        self.checkpoints = Checkpoints(self.out, self.log, save_every, save_minutes)
        if not resume:
            self.checkpoints.refuse_if_any()
        saved = self.checkpoints.load(config) if resume else None
        self.resumed = saved is not None
        train_set, test_set = load_images(config)
        check_classes(train_set)
        self.classes = train_set.classes
        self.train_loader, self.test_loader = make_loaders(config, train_set, test_set, workers)
        self.normalization = {"mean": self.train_loader.mean, "std": self.train_loader.std}
        self.images = {"normalization": self.normalization, **describe_images(train_set, test_set)}
        self.software = software(self.device)
        manual_seed(config.seed)
        self.model = self._make_model(begin=saved is None)
        self.optimizer = make_optimizer(config, self.model)
        self.schedule = make_schedule(config, self.optimizer, len(self.train_loader))
        self.average = WeightAverage(self.model, config.ema) if config.ema else None
        loss_scale = LossScale() if config.precision == "mixed" else None
        self.state = TrainingState(self.model, self.optimizer, self.schedule, self.average, loss_scale)
        self.history = self.state.history
        if saved is not None:
            self._restore(*saved)

    def new_network(self) -> models.Network:
        """Return the network to train, with random weights. A subclass may return one that has no name."""
        return models.create(self.config.model, len(self.classes))

    def _make_model(self, begin: bool) -> Any:
        model = self.new_network()
        if begin and self.config.init is not None:
            found = models.read_pretrained(self.config.init, self.config.model)
            models.initialize(model, found, self.config.init)
        if self.config.freeze_bn:
            freeze_batch_norms(model)
        return model.to(self.device)

    def _restore(self, arrays: dict[str, Array], about: dict[str, Any]) -> None:
        check_same_data(about, self.images)
        self.state.restore(arrays, about, self.checkpoints.last)
        warn_of_other_software(about.get("software", {}), self.software)

    @property
    def finished(self) -> bool:
        """Whether every epoch is done."""
        return self.state.position.epoch > self.config.epochs

    def run(self, progress: bool = True, stop: Callable[[], bool] = lambda: False) -> Iterator[Metrics]:
        """Train until the Config's number of epochs; yield each epoch's Metrics once it is saved.

        If a checkpoint cannot be written (a full disk, for example), the earlier one stays. Training logs this,
        continues, and tries again at the next save. It raises only if this was the last save of the run.

        Args:
            progress: show a bar on a terminal, otherwise a line every minute.
            stop: called after each step; if it returns True, the run is saved and ends early.

        Raises:
            CheckpointError: the last checkpoint of the run could not be written.
            MiniskError: another process holds the folder, or the loss or the gradient is not finite.
        """
        if self.finished:
            return
        with hold_folder(self.out):
            self.checkpoints.check_unchanged()
            write_config(self.out, dataclasses.asdict(self.config))
            with self.log.opened(self.schedule.steps):
                position = self.state.position
                self.log.event("start", epoch=position.epoch, step=position.step, device=self.device)
                if not self.resumed:
                    self._save()
                while not self.finished and not stop():
                    self._train_epoch(progress, stop)
                    measured = None if stop() else self._evaluate(stop)
                    if measured is None or stop():
                        break
                    yield self._end_epoch(*measured)
                if not self.finished:
                    self._save(must=True)
                position = self.state.position
                self.log.event("stop", finished=self.finished, epoch=position.epoch, step=position.step)

    def _train_epoch(self, progress: bool, stop: Callable[[], bool]) -> None:
        """Train from the current position to the end of the epoch, or until `stop` returns True."""
        self.model.train()
        position, epochs = self.state.position, self.config.epochs
        all_steps = epochs * len(self.train_loader)
        bar = progress_bar(f"epoch {position.epoch}/{epochs}", self.schedule.steps, all_steps, progress)
        self.train_loader.augment = self.config.augment(position.epoch)
        batches = self.train_loader.epoch(position.epoch, position.step)
        with bar, contextlib.closing(batches):
            before = time.perf_counter()
            while (batch := next(batches, None)) is not None:
                fetched, position.lr = time.perf_counter(), self.optimizer.param_groups[0]["lr"]
                loss, norm = self.train_step(batch)
                position.step += 1
                if self.schedule.steps % self.log_every == 0:
                    self.log.step(self.schedule.steps, loss=loss, gradient_norm=norm, lr=position.lr)
                if self.checkpoints.is_due(self.schedule.steps):
                    self._save()
                now = time.perf_counter()
                position.seconds += now - before
                position.waited += fetched - before
                before = now
                speed = position.images / position.seconds
                text = f"loss {position.loss:.3f}, accuracy {position.accuracy:.1f} %, {speed:.0f} images/s"
                bar.set_postfix_str(text, refresh=False)
                bar.update()
                if stop():
                    return

    def train_step(self, batch: Batch) -> tuple[float, float]:
        """Take one step. Return the loss (nats) and the norm of the gradient before clipping.

        In mixed precision a step whose gradient overflowed is left out: neither weights nor the schedule move.
        """
        images, labels = batch
        scale = 1.0 if self.state.loss_scale is None else self.state.loss_scale.scale
        self.optimizer.zero_grad()
        losses: list[Tensor] = []  # of each part, weighted by its share of the batch
        correct: list[Tensor] = []
        image_parts = np.array_split(images, self.config.accumulate)
        label_parts = np.array_split(labels, self.config.accumulate)
        # Where float16 overflows, the norm of the gradient will say so.
        is_mixed = self.state.loss_scale is not None
        with np.errstate(over="ignore", invalid="ignore") if is_mixed else contextlib.nullcontext():
            for image_part, label_part in zip(image_parts, label_parts, strict=True):
                x, y = Tensor(image_part).to(self.device), Tensor(label_part).to(self.device)
                with autocast(is_mixed):
                    outputs = self.model(x)
                    loss = models.classification_loss(outputs, y, self.config.label_smoothing)
                loss = loss * (len(image_part) / len(images))
                (loss * scale).backward()
                losses.append(loss.detach())
                correct.append(count_correct(models.logits_of(outputs).detach(), y))
        *values, norm = read_together([*losses, *correct, gradient_norm(self.model.parameters())])
        norm /= scale
        total_loss, total_correct = sum(values[: len(losses)]), sum(values[len(losses) :])
        is_good = self.state.loss_scale is None or not math.isfinite(total_loss) or self.state.loss_scale.update(norm)
        for name, value in (("loss", total_loss), ("gradient norm", norm)):
            if is_good and not math.isfinite(value):
                self._stop_not_finite(name, value, images, labels)
        self.state.position.add(len(images), total_loss, total_correct)
        if not is_good:
            self.log.event("overflow", step=self.schedule.steps, loss_scale=scale)
            return total_loss, norm
        clip_gradients(self.model.parameters(), norm, self.config.clip_norm, scale)
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update()
        return total_loss, norm

    def _stop_not_finite(self, name: str, value: float, images: Array, labels: Array) -> None:
        position = self.state.position
        where = {"epoch": position.epoch, "step": position.step}
        self.log.event("not finite", what=name, value=str(value), **where)
        note = self.log.save_batch({"images": images, "labels": labels}, {name: str(value), **where})
        place = f"in epoch {position.epoch}, step {position.step}"
        raise MiniskError(f"the {name} became {value} {place}: try a smaller learning rate than {self.config.lr}{note}")

    def _evaluate(self, stop: Callable[[], bool]) -> tuple[float, float]:
        """Return test loss and accuracy, of the averaged weights if there are any; meaningless if stopped."""
        with self.average.in_place() if self.average is not None else contextlib.nullcontext():
            return evaluate(self.model, takewhile(lambda _: not stop(), self.test_loader), self.device)

    def _end_epoch(self, test_loss: float, test_accuracy: float) -> Metrics:
        position = self.state.position
        seconds = max(position.seconds, 1e-9)
        metrics = Metrics(
            epoch=position.epoch,
            lr=position.lr,
            train_loss=position.loss,
            train_accuracy=position.accuracy,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
            images_per_second=position.images / seconds,
            seconds=round(position.seconds, 2),
            waiting=100 * position.waited / seconds,
        )
        self.history.append(metrics)
        measurable = [epoch.test_accuracy for epoch in self.history if math.isfinite(epoch.test_loss)]
        if math.isfinite(test_loss) and test_accuracy >= max(measurable):
            self.checkpoints.keep_best(self.state.best_weights(), self._about())
        self.state.position = Position(epoch=position.epoch + 1)
        # The checkpoint comes last: if the process is killed before it, resuming repeats the end of the epoch.
        steps = self.schedule.steps
        shown = range(0, steps, max(1, steps // MOST_RATES))
        self.log.epoch(self.history, steps, [self.schedule.rate(i, self.schedule.peaks[0]) for i in shown])
        self._save(must=self.finished)
        if self.finished and not measurable:
            problem = f"the test loss was never finite: try a smaller learning rate than {self.config.lr}"
            raise MiniskError(problem)
        return metrics

    def _save(self, must: bool = False) -> None:
        self.checkpoints.save(self.state, self._about(), must)

    def _about(self) -> dict[str, Any]:
        return {
            "config": dataclasses.asdict(self.config),
            "classes": list(self.classes),
            **self.images,
            "software": self.software,
            "history": [dataclasses.asdict(metrics) for metrics in self.history],
        }


def _check_options(out: str | Path, **options: tuple[float, float]) -> None:
    """Raise SettingError for an empty folder name or an option below its least value. options: (value, least)."""
    if not str(out):
        raise SettingError("out", "must name a folder")
    for name, (value, least) in options.items():
        if not value >= least:
            raise SettingError(name, f"{value} must be at least {least}")
