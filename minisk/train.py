"""Training from start to finish: one `Config` describes a run, `Trainer` carries it out.

What a run writes to its folder, each file replaced as a whole:
    config.json         the Config                          metrics.csv         a row per epoch
    last.safetensors    everything needed to go on          best.safetensors    the weights of the best epoch
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import models, ops
from .checkpoint import atomic_write, load_checkpoint, save_checkpoint
from .data import ImageDataset, Loader, load_dataset, standard_augment
from .device import cuda_available, manual_seed, parse_device
from .errors import CheckpointError, MiniskError
from .function import no_grad
from .nn import Module
from .nn.module import evaluation_mode
from .optim import SGD, CosineAnnealingLR, LRScheduler, MultiStepLR, OneCycleLR
from .tensor import Tensor

log = logging.getLogger("minisk")

SCHEDULES = ("onecycle", "cosine", "step")


@dataclass(frozen=True)
class Config:
    """All that decides the numbers of a run; written to config.json, and into every checkpoint."""

    dataset: str = "shapes"
    data_dir: str | None = None
    model: str = "sknet_small"
    epochs: int = 6
    batch_size: int = 128
    lr: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    schedule: str = "onecycle"
    warmup_epochs: float = 0.0
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "lr"):
            self._require(name, 0 < getattr(self, name) < math.inf, "above 0")
        for name in ("momentum", "weight_decay", "warmup_epochs"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "at least 0")
        self._require("label_smoothing", 0 <= self.label_smoothing <= 1, "from 0 to 1")
        self._require("model", self.model in models.NAMES, f"one of {', '.join(models.NAMES)}")
        self._require("schedule", self.schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise MiniskError(f"{name} {getattr(self, name)!r} must be {expected}")


@dataclass(frozen=True)
class Metrics:
    """One epoch, one row of metrics.csv: losses in nats, accuracies in percent, time in seconds."""

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    images_per_second: float
    seconds: float


class _Average:
    """Mean loss and accuracy over the images seen so far."""

    def __init__(self) -> None:
        self.images = self.correct = 0
        self.total_loss = 0.0

    def add(self, loss: float, logits: Tensor, labels: Tensor) -> None:
        count = labels.shape[0]
        self.images += count
        self.total_loss += loss * count
        self.correct += int((logits.argmax(axis=1) == labels).sum().item())

    @property
    def loss(self) -> float:
        return self.total_loss / max(1, self.images)

    @property
    def accuracy(self) -> float:
        return 100.0 * self.correct / max(1, self.images)


def resolve_device(device: str) -> str:
    """Turn "auto" into "cuda" where there is one, else "cpu". Raises DeviceError for a device that is not there."""
    chosen = ("cuda" if cuda_available() else "cpu") if device == "auto" else device
    parse_device(chosen)
    return chosen


def evaluate(model: Module, loader: Loader, device: str = "cpu") -> tuple[float, float]:
    """Return the mean cross entropy (nats) and the accuracy (percent) over all batches, in evaluation mode."""
    average = _Average()
    with no_grad(), evaluation_mode(model):
        for images, labels in loader:
            x, y = Tensor(images).to(device), Tensor(labels).to(device)
            logits = model(x)
            average.add(ops.cross_entropy(logits, y).item(), logits, y)
    return average.loss, average.accuracy


def parameter_groups(model: Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split parameters in two: weights decay; batch-norm scales and all biases do not."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def make_schedule(config: Config, optimizer: SGD, steps_per_epoch: int) -> LRScheduler:
    """Make the schedule the Config names, over the whole run."""
    total, warmup = config.epochs * steps_per_epoch, round(config.warmup_epochs * steps_per_epoch)
    if config.schedule == "onecycle":
        return OneCycleLR(optimizer, total, warmup_steps=warmup)
    if config.schedule == "cosine":
        return CosineAnnealingLR(optimizer, total, warmup)
    return MultiStepLR(optimizer, [total // 2, total * 3 // 4], warmup_steps=warmup)


class Trainer:
    """One run: its data, model, optimizer and schedule, and the folder it writes to.

    resume: go on from last.safetensors in the folder. Raises CheckpointError if it is missing or of another Config,
    or if a run is in the folder already and resume was not asked for; DataError, DeviceError, MiniskError.
    """

    def __init__(self, config: Config, out: str | Path, resume: bool = False) -> None:
        self.config, self.out = config, Path(out)
        self.device = resolve_device(config.device)
        saved = self._saved_run(resume)
        train_set = load_dataset(config.dataset, config.data_dir, "train")
        test_set = load_dataset(config.dataset, config.data_dir, "test")
        self.classes = train_set.classes
        mean, std = (values.tolist() for values in train_set.mean_std())
        self.normalization = {"mean": mean, "std": std}
        self.train_loader = Loader(
            train_set, config.batch_size, shuffle=True, augment=standard_augment, seed=config.seed, drop_last=True,
            mean=mean, std=std,
        )  # fmt: skip
        self.test_loader = Loader(test_set, 256, mean=mean, std=std)
        if len(self.train_loader) == 0:
            raise MiniskError(f"batch_size {config.batch_size} is more than the {len(train_set)} training images")
        manual_seed(config.seed)
        self.model = models.create(config.model, len(self.classes))
        self.model.to(self.device)
        self.optimizer = SGD(
            parameter_groups(self.model, config.weight_decay), config.lr, config.momentum, nesterov=True
        )
        self.schedule = make_schedule(config, self.optimizer, len(self.train_loader))
        self.history: list[Metrics] = []
        self.lr_used = config.lr
        self.out.mkdir(parents=True, exist_ok=True)
        if saved is not None:
            self._restore(*saved)
        atomic_write(self.out / "config.json", json.dumps(dataclasses.asdict(config), indent=2).encode())

    def run(self, progress: bool = True) -> Iterator[Metrics]:
        """Train epoch by epoch until the Config's number of epochs, yielding each one's Metrics once it is saved."""
        for epoch in range(len(self.history) + 1, self.config.epochs + 1):
            started = time.perf_counter()
            average = self._train_epoch(epoch, progress)
            seconds = time.perf_counter() - started
            test_loss, test_accuracy = evaluate(self.model, self.test_loader, self.device)
            lr = self.lr_used
            speed = average.images / seconds
            metrics = Metrics(
                epoch, lr, average.loss, average.accuracy, test_loss, test_accuracy, speed, round(seconds, 2)
            )
            self.history.append(metrics)
            self._save()
            yield metrics

    def _train_epoch(self, epoch: int, progress: bool) -> _Average:
        from tqdm import tqdm

        self.model.train()
        average = _Average()
        batches = tqdm(
            self.train_loader.epoch(epoch), total=len(self.train_loader), desc=f"epoch {epoch}/{self.config.epochs}",
            unit="batch", mininterval=1.0, disable=not progress, leave=False,
        )  # fmt: skip
        with batches:
            for step, (images, labels) in enumerate(batches):
                average.add(*self._train_step(images, labels, f"epoch {epoch}, step {step}"))
                speed = average.images / max(1e-9, batches.format_dict["elapsed"])
                batches.set_postfix_str(
                    f"loss {average.loss:.3f}, accuracy {average.accuracy:.1f} %, {speed:.0f} images/s", refresh=False
                )
        return average

    def _train_step(self, images: Any, labels: Any, where: str) -> tuple[float, Tensor, Tensor]:
        x, y = Tensor(images).to(self.device), Tensor(labels).to(self.device)
        logits = self.model(x)
        loss = ops.cross_entropy(logits, y, self.config.label_smoothing)
        value = loss.item()
        if not math.isfinite(value):
            raise MiniskError(f"the loss became {value} in {where}: try a smaller learning rate than {self.config.lr}")
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.lr_used = self.optimizer.param_groups[0]["lr"]
        self.schedule.step()
        return value, logits.detach(), y

    # Saving and going on

    def _about(self) -> dict[str, Any]:
        return {
            "config": dataclasses.asdict(self.config),
            "classes": list(self.classes),
            "normalization": self.normalization,
            "history": [dataclasses.asdict(metrics) for metrics in self.history],
        }

    def _save(self) -> None:
        weights = {f"model.{name}": value.data for name, value in self.model.state_dict().items()}
        optimizer = self.optimizer.state_dict()
        arrays = {
            f"optimizer.{i}.{name}": array
            for i, state in enumerate(optimizer.pop("state"))
            for name, array in state.items()
        }
        about = {**self._about(), "optimizer": optimizer, "schedule": self.schedule.steps}
        # The best first: if this is cut off in between, the epoch is done again, bit for bit, and the best with it.
        if self.history[-1].test_accuracy >= max(metrics.test_accuracy for metrics in self.history):
            save_checkpoint(self.out / "best.safetensors", weights, self._about())
        save_checkpoint(self.out / "last.safetensors", {**weights, **arrays}, about)
        table = io.StringIO()
        writer = csv.DictWriter(table, [field.name for field in dataclasses.fields(Metrics)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(metrics) for metrics in self.history)
        atomic_write(self.out / "metrics.csv", table.getvalue().encode())

    def _saved_run(self, resume: bool) -> tuple[dict[str, Any], dict[str, Any]] | None:
        last = self.out / "last.safetensors"
        if not resume:
            if last.exists():
                raise CheckpointError(f"{self.out} holds a run already: go on with --resume, or choose another --out")
            return None
        arrays, about = load_checkpoint(last)
        if not {"config", "optimizer", "schedule", "history"} <= about.keys():
            raise CheckpointError(f"{last} holds no state of a run to go on with, only weights")
        before, now = about["config"], dataclasses.asdict(self.config)
        changed = [f"{k} {before.get(k)!r} is now {now[k]!r}" for k in now if k != "device" and before.get(k) != now[k]]
        if changed:
            raise CheckpointError(f"{last} can't be resumed with other settings: {'; '.join(changed)}")
        return arrays, about

    def _restore(self, arrays: dict[str, Any], about: dict[str, Any]) -> None:
        self.model.load_state_dict(weights_of(arrays))
        states: list[dict[str, Any]] = [{} for _ in self.optimizer.state]
        for name, array in arrays.items():
            kind, _, rest = name.partition(".")
            if kind == "optimizer":
                position, _, state_name = rest.partition(".")
                states[int(position)][state_name] = array
        self.optimizer.load_state_dict({**about["optimizer"], "state": states})
        self.schedule.go_to(about["schedule"])
        self.history = [Metrics(**row) for row in about["history"]]


def weights_of(arrays: dict[str, Any]) -> dict[str, Any]:
    """Pick a model's weights out of a checkpoint's arrays, under the model's own names."""
    return {name.removeprefix("model."): array for name, array in arrays.items() if name.startswith("model.")}


def load_model(path: str | Path) -> tuple[Module, dict[str, Any]]:
    """Rebuild the model of a checkpoint. Returns it, in evaluation mode, and the checkpoint's description."""
    arrays, about = load_checkpoint(path)
    lacking = [name for name in ("config", "classes", "normalization") if name not in about]
    if lacking:
        raise CheckpointError(f"checkpoint {path} does not say its {', '.join(lacking)}")
    model = models.create(about["config"]["model"], len(about["classes"]))
    try:
        model.load_state_dict(weights_of(arrays))
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint {path}: {error}") from None
    return model.eval(), about


def evaluate_checkpoint(path: str | Path, dataset: str, data_dir: str | None, device: str) -> tuple[float, float]:
    """Return loss and accuracy (percent) of a checkpoint on a data set's test images. Raises CheckpointError."""
    model, about = load_model(path)
    test_set: ImageDataset = load_dataset(dataset, data_dir, "test")
    if list(test_set.classes) != about["classes"]:
        raise CheckpointError(
            f"checkpoint {path} tells apart {len(about['classes'])} classes ({about['classes'][0]}, …), "
            f"but {dataset} has {len(test_set.classes)} ({test_set.classes[0]}, …)"
        )
    chosen = resolve_device(device)
    return evaluate(model.to(chosen), Loader(test_set, 256, **about["normalization"]), chosen)
