"""TrainingState: everything that a run needs to continue with the same bits, and its form in a checkpoint."""

import dataclasses
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..backend import Array, random_state, set_random_state
from ..errors import CheckpointError
from ..evaluation.metrics import RunningMean
from ..nn import Module
from ..optim import LRScheduler, Optimizer, WeightAverage
from ..serialization import weights_of
from .mixed_precision import LossScale
from .run_folder import Metrics

_LARGEST = 2**128  # of a whole number: the state of NumPy's generator has 128 bits


@dataclass
class Position(RunningMean):
    """The position in a run, and the sums over the current epoch; contains only JSON types.

    Attributes:
        epoch: the current epoch, from 1.
        step: steps of it that are done.
        seconds: training time of this epoch.
        waited: the part of these seconds spent waiting for data.
        lr: the learning rate of the latest step.
    """

    epoch: int = 1
    step: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    lr: float = 0.0


@dataclass
class TrainingState:
    """Model, optimizer, schedule, weight average, loss scale (of mixed precision), position and history of a run."""

    model: Module
    optimizer: Optimizer
    schedule: LRScheduler
    average: WeightAverage | None
    loss_scale: LossScale | None = None
    position: Position = field(default_factory=Position)
    history: list[Metrics] = field(default_factory=list)

    def weights(self) -> dict[str, Array]:
        """Return the model's arrays by name (not copied)."""
        return {name: value.data for name, value in self.model.state_dict().items()}

    def best_weights(self) -> dict[str, Array]:
        """Return copies of the weights that are tested: the average if there is one, under checkpoint names."""
        tested = self.weights() if self.average is None else self.average.arrays
        return {f"model.{name}": array.copy() for name, array in tested.items()}

    def to_checkpoint(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return the arrays (not copied) and the JSON-able values of a checkpoint, without the history."""
        arrays = {f"model.{name}": array for name, array in self.weights().items()}
        optimizer = self.optimizer.state_dict()
        for index, state in enumerate(optimizer.pop("state")):
            for name, array in state.items():
                arrays[f"optimizer.{index}.{name}"] = array
        values = {
            "optimizer": optimizer,
            "schedule": self.schedule.steps,
            "state": dataclasses.asdict(self.position),
            "random": random_state(),
        }
        if self.loss_scale is not None:
            values["loss_scale"] = dataclasses.asdict(self.loss_scale)
        if self.average is not None:
            for name, array in self.average.arrays.items():
                arrays[f"average.{name}"] = array
            values["average"] = self.average.updates
        return arrays, values

    def restore(self, arrays: Mapping[str, Array], about: Mapping[str, Any], path: Path) -> None:
        """Take over a checkpoint that `to_checkpoint` and the history made, and the process's random states.

        Raises CheckpointError, which names `path`, if a part is missing or does not fit.
        """
        try:
            self._check_values(about)
            self.model.load_state_dict(weights_of(arrays))
            states: dict[str, dict[str, Any]] = {str(index): {} for index in range(len(self.optimizer.state))}
            for name, array in weights_of(arrays, "optimizer").items():
                index, _, state_name = name.partition(".")
                states[index][state_name] = array
            self.optimizer.load_state_dict({**about["optimizer"], "state": list(states.values())})
            self.schedule.go_to(about["schedule"])
            if self.average is not None:
                self.average.load(weights_of(arrays, "average"), about["average"])
            if self.loss_scale is not None:
                self.loss_scale = LossScale(**about["loss_scale"])
            self.history[:] = [Metrics(**row) for row in about["history"]]
            self.position = Position(**about["state"])
            set_random_state(about["random"])
        except (LookupError, TypeError, AttributeError) as error:
            raise CheckpointError(f"checkpoint {path} lacks a part that resuming needs: {error}") from error
        except (ValueError, ArithmeticError, RecursionError) as error:  # the description is untrusted input
            raise CheckpointError(f"checkpoint {path} has a part that does not fit: {error}") from error
        except MemoryError as error:
            raise CheckpointError(f"checkpoint {path}: not enough memory for its parts") from error

    def _check_values(self, about: Mapping[str, Any]) -> None:
        """Compare the description with the one that this state would write. Raises LookupError, ValueError."""
        own = self.to_checkpoint()[1]
        row = dataclasses.asdict(Metrics(1, *[0.0] * 8))
        for name, example in {**own, "history": [row for _ in about["history"]]}.items():
            _check_form(name, about[name], example, finite=name != "history")
        if self.loss_scale is not None and not about["loss_scale"].get("scale", 1.0) > 0:
            raise ValueError("loss_scale.scale is not above 0")
        counts = [about["schedule"], about["state"].get("step", 0), *about["optimizer"]["steps"]]
        if min(*counts, about["state"].get("images", 0)) < 0 or about["state"].get("epoch", 1) < 1:
            raise ValueError("a count of steps, images or epochs is negative")
        for saved, group in zip(about["optimizer"]["groups"], own["optimizer"]["groups"], strict=True):
            for name, value in saved.items():
                settings = list(group[name]) if isinstance(group[name], tuple) else group[name]
                if name != "lr" and value != settings:  # the schedule sets lr
                    raise ValueError(f"optimizer.{name} is {reprlib.repr(value)}, expected {settings}, as in config")


def _check_form(name: str, value: Any, example: Any, finite: bool = True) -> None:
    """Raise ValueError unless a value of a checkpoint has the form of an example.

    Args:
        name: the value's path in the description.
        value: what JSON can hold.
        example: of the same type; a dictionary with all keys that are allowed; a list of the same length.
        finite: whether an infinite number or NaN is refused.
    """
    accepted = {float: (int, float), tuple: (list,)}.get(type(example), (type(example),))
    infinite = isinstance(value, float) and not math.isfinite(value)
    too_large = isinstance(value, int) and abs(value) > _LARGEST
    if type(value) not in accepted or too_large or (finite and infinite):
        raise ValueError(f"{name} is {reprlib.repr(value)}, expected a value of type {accepted[-1].__name__}")
    if isinstance(value, list):
        if len(value) != len(example):
            raise ValueError(f"{name} has {len(value)} elements, expected {len(example)}")
        for index, (part, other) in enumerate(zip(value, example, strict=True)):
            _check_form(f"{name}[{index}]", part, other, finite)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key not in example:
                raise LookupError(f"{name} has the unknown part {key!r}")
            _check_form(f"{name}.{key}", part, example[key], finite)
