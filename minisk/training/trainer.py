"""Training from start to finish: one `Config` describes a run, `Trainer` carries it out.

Several processes train one network together if `group` holds them; rank 0 alone writes.

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
from ..backend import Array, freed_memory_kept, full_device_name, manual_seed
from ..data import Batch, Share
from ..distributed import (
    DataParallel,
    Group,
    broadcast_arrays,
    broadcast_json,
    fail_together,
    for_device,
    require_same_state,
    together,
)
from ..errors import MiniskError
from ..evaluation.metrics import RunningMean, batch_metrics, count_correct, read_together, resolve_device
from ..ops.autocast import autocast
from ..optim import WeightAverage, clip_gradients, gradient_norm, scale_gradients
from .agreement import Agreement
from .checkpoints import Checkpoints
from .config import Config, SettingError
from .images import check_classes, check_same_data, describe_images, load_images, make_loaders
from .mixed_precision import LossScale
from .optimization import freeze_batch_norms, make_optimizer, make_schedule
from .provenance import check_processes, software, warn_of_other_software
from .run_folder import Metrics, RunLog, SilentLog, hold_folder, progress_bar, write_config
from .state import Position, TrainingState

_DROPOUT = 2  # first part of a random stream's key; 0 and 1 are the loader's
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
        group: the processes that train together; by default this one alone.

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
        group: Group | None = None,
    ) -> None:
        self.config, self.out, self.log_every = config, Path(out), log_every
        self.group = group or Group()
        self.agreement = Agreement(self.group)

        def open_folder() -> tuple[dict[str, Array], dict[str, Any]] | None:
            _check_options(out, save_every=(save_every, 0), save_minutes=(save_minutes, 0), log_every=(log_every, 1))
            _check_options(out, workers=(workers, 0))
            self.log = RunLog(self.out, tensorboard) if self.group.rank == 0 else SilentLog(self.out)
            self.checkpoints = Checkpoints(self.out, self.log, save_every, save_minutes)
            if self.group.rank > 0:
                return None
            if not resume:
                self.checkpoints.refuse_if_any()
            return self.checkpoints.load(config) if resume else None

        saved = together(self.group, open_folder)
        if broadcast_json(self.group, saved is not None):
            arrays, about = saved or ({}, {})
            saved = broadcast_arrays(self.group, arrays), broadcast_json(self.group, about)
        self.resumed = saved is not None
        together(self.group, lambda: self._prepare(saved, workers))
        self.group = self.agreement.group = for_device(self.group, self.device)
        self.parallel = DataParallel(self.model, self.group, config.sync_bn)

    def _prepare(self, saved: tuple[dict[str, Array], dict[str, Any]] | None, workers: int) -> None:
        """Make data, model and optimizer, and restore a checkpoint. Every rank does, without an exchange."""
        config, group = self.config, self.group
        if config.batch_size // config.accumulate < group.size:
            part = f"{config.batch_size} images in {config.accumulate} parts"
            raise SettingError("batch_size", f"is too small: {part} leave a rank of {group.size} without an image")
        self.device = resolve_device(config.device)
        if self.device == "cuda" and group.size > 1:
            self.device = full_device_name(f"cuda:{group.local_rank}")
        train_set, test_set = load_images(config)
        if group.rank == 0:
            check_classes(train_set)
        self.classes = train_set.classes
        self.share = Share(group.rank, group.size, config.accumulate)
        self.train_loader, self.test_loader = make_loaders(config, train_set, test_set, workers)
        self.train_loader.share = self.share
        self.normalization = {"mean": self.train_loader.mean, "std": self.train_loader.std}
        self.images = {"normalization": self.normalization, **describe_images(train_set, test_set)}
        self.software = software(self.device, group.size)
        manual_seed(config.seed)
        self.model = self._make_model(begin=saved is None)
        self.optimizer = make_optimizer(config, self.model)
        self.schedule = make_schedule(config, self.optimizer, len(self.train_loader))
        self.average = WeightAverage(self.model, config.ema) if config.ema else None
        scale = LossScale() if config.precision == "mixed" else None
        self.state = TrainingState(self.model, self.optimizer, self.schedule, self.average, scale)
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
        before = about.get("software", {})
        if self.group.rank == 0:
            warn_of_other_software(before, self.software)
        check_processes(before, self.software, self.config.sync_bn)

    @property
    def finished(self) -> bool:
        """Whether every epoch is done."""
        return self.state.position.epoch > self.config.epochs

    def run(self, progress: bool = True, stop: Callable[[], int] = lambda: 0) -> Iterator[Metrics]:
        """Train until the Config's number of epochs; yield each epoch's Metrics once it is saved.

        If a checkpoint cannot be written (a full disk, for example), the earlier one stays. Training logs this,
        continues, and tries again at the next save. It raises only if this was the last save of the run.

        Args:
            progress: show a bar on a terminal, otherwise a line every minute; rank 0 alone does.
            stop: called after each step; unless it returns 0, the run is saved and ends early, on all ranks.

        Raises:
            CheckpointError: the last checkpoint of the run could not be written.
            MiniskError: another process holds the folder, or the loss or the gradient is not finite.
        """
        if self.finished:
            return
        self.agreement.asked = stop
        with hold_folder(self.out) if self.group.rank == 0 else contextlib.nullcontext(), freed_memory_kept():
            if self.group.rank == 0:
                self.checkpoints.check_unchanged()
                write_config(self.out, dataclasses.asdict(self.config))
            with self.log.opened(self.schedule.steps):
                position = self.state.position
                about = {"processes": self.group.size, "library": self.group.library} if self.group.size > 1 else {}
                self.log.event("start", epoch=position.epoch, step=position.step, device=self.device, **about)
                if not self.resumed:
                    self._save()
                while not self.finished and not self.agreement.must_stop():
                    self._train_epoch(progress and self.group.rank == 0)
                    measured = None if self.agreement.must_stop() else self._evaluate()
                    if measured is None or self.agreement.must_stop():
                        break
                    yield self._end_epoch(*measured)
                if not self.finished:
                    self._save(must=True)
                position = self.state.position
                self.log.event("stop", finished=self.finished, epoch=position.epoch, step=position.step)

    def _train_epoch(self, progress: bool) -> None:
        """Train from the current position to the end of the epoch, or until the ranks stop."""
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
                if self.agreement.is_save_due if self.group.size > 1 else self.checkpoints.is_due(self.schedule.steps):
                    self._save()
                now = time.perf_counter()
                position.seconds += now - before
                position.waited += fetched - before
                before = now
                speed = position.images / position.seconds
                text = f"loss {position.loss:.3f}, accuracy {position.accuracy:.1f} %, {speed:.0f} images/s"
                bar.set_postfix_str(text, refresh=False)
                bar.update()
                if self.agreement.must_stop():
                    return

    def train_step(self, batch: Batch) -> tuple[float, float]:
        """Take one step. Return the loss (nats) and the norm of the gradient before clipping.

        batch: this rank's share. The loss and the norm are those of the whole batch. In mixed precision a step whose
        gradient overflowed is left out: neither weights nor the schedule move.
        """
        images, labels = batch
        scaling = self.state.loss_scale
        scale = 1.0 if scaling is None else scaling.scale
        self.optimizer.zero_grad()
        if self.group.size > 1:  # dropout differs between ranks, and needs no state in the checkpoint
            key = (_DROPOUT, self.schedule.steps, self.group.rank)
            manual_seed(int(np.random.SeedSequence(self.config.seed, spawn_key=key).generate_state(1)[0]))
        whole = len(images) if self.group.size == 1 else self.config.batch_size
        losses: list[Tensor] = []  # of each part, weighted by its share of the batch
        correct: list[Tensor] = []
        image_parts, label_parts = self._in_parts(images), self._in_parts(labels)
        # Where float16 overflows, the norm of the gradient will say so; ranks then also sum ∞ and -∞.
        with contextlib.nullcontext() if scaling is None else np.errstate(over="ignore", invalid="ignore"):
            for image_part, label_part in zip(image_parts, label_parts, strict=True):
                x, y = Tensor(image_part).to(self.device), Tensor(label_part).to(self.device)
                with autocast(scaling is not None):
                    outputs = self.model(x)
                    loss = models.classification_loss(outputs, y, self.config.label_smoothing)
                loss = loss * (len(image_part) / whole)
                with self.parallel.sending() if len(losses) == len(image_parts) - 1 else contextlib.nullcontext():
                    (loss * scale).backward()
                losses.append(loss.detach())
                correct.append(count_correct(models.logits_of(outputs).detach(), y))
            count, total_loss, total_correct, norm = self._measure(len(images), losses, correct)
        norm /= scale
        overflowed = scaling is not None and math.isfinite(total_loss) and not scaling.update(norm)
        for name, value in (("loss", total_loss), ("gradient norm", norm)):
            if not math.isfinite(value) and not overflowed:
                self._stop_not_finite(name, value, images, labels)
        self.state.position.add(count, total_loss, total_correct)
        if overflowed:
            self.log.event("overflow", step=self.schedule.steps, loss_scale=scale)
            return total_loss, norm
        clip_gradients(self.model.parameters(), norm, self.config.clip_norm, scale)
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update()
        return total_loss, norm

    def _in_parts(self, array: Array) -> list[Array]:
        """Cut this rank's images, or their labels, as the batch is cut. Photographs that can't be read may lack."""
        sizes = self.share.sizes(self.config.batch_size)
        if len(array) != sum(sizes):
            return np.array_split(array, self.config.accumulate)
        return np.split(array, np.cumsum(sizes)[:-1])

    def _measure(self, images: int, losses: list[Tensor], correct: list[Tensor]) -> tuple[int, float, float, float]:
        """Sum over parts and ranks, gradients too; return images, loss, how many are right, and the gradient's norm."""
        parts = len(losses)
        if self.group.size == 1:
            *values, norm = read_together([*losses, *correct, gradient_norm(self.model.parameters())])
            return images, sum(values[:parts]), sum(values[parts:]), norm
        values = read_together([*losses, *correct])
        is_save_due = self.checkpoints.is_due(self.schedule.steps + 1)
        own = [images, sum(values[:parts]), sum(values[parts:])]
        total = self.parallel.exchange(np.concatenate([own, self.agreement.numbers(is_save_due)]))
        self.agreement.learn(total[3:])
        count, loss, right = total[:3].tolist()
        if count != self.config.batch_size:  # photographs could not be read: their weight goes to the others
            loss *= self.config.batch_size / count
            scale_gradients(self.model.parameters(), self.config.batch_size / count)
        return int(count), loss, right, gradient_norm(self.model.parameters()).item()

    def _stop_not_finite(self, name: str, value: float, images: Array, labels: Array) -> None:
        position = self.state.position
        where = {"epoch": position.epoch, "step": position.step}
        self.log.event("not finite", what=name, value=str(value), **where)
        note = self.log.save_batch({"images": images, "labels": labels}, {name: str(value), **where})
        place = f"in epoch {position.epoch}, step {position.step}"
        problem = f"the {name} became {value} {place}: try a smaller learning rate than {self.config.lr}{note}"
        raise fail_together(self.group, MiniskError(problem))

    def _evaluate(self) -> tuple[float, float]:
        """Return test loss and accuracy, of the averaged weights if there are any; meaningless if stopped.

        Each rank measures every size-th batch. The sums are taken batch by batch, so they do not depend on the ranks.
        """
        rank, size, count = self.group.rank, self.group.size, len(self.test_loader)
        rows = np.zeros((count, 3))
        with self.average.in_place() if self.average is not None else contextlib.nullcontext():
            batches = self.test_loader.epoch(0, min(rank, count), size)
            going = takewhile(lambda _: not self.agreement.asked(), batches)
            for number, measured in enumerate(batch_metrics(self.model, going, self.device)):
                rows[rank + number * size] = measured
        total = np.concatenate([rows.reshape(-1), self.agreement.numbers()])
        self.group.sum(total)
        self.agreement.learn(total[3 * count :])
        mean = RunningMean()
        for images, loss, correct in total[: 3 * count].reshape(count, 3):
            mean.add(int(images), loss, correct)
        return mean.loss, mean.accuracy

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
            raise fail_together(self.group, MiniskError(problem))
        return metrics

    def _save(self, must: bool = False) -> None:
        arrays = self.state.to_checkpoint()[0]
        require_same_state(self.group, arrays)
        if self.group.rank == 0:
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
