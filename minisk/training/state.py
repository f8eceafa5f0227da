"""TrainingState: everything that a run needs to continue with the same bits, and its form in a checkpoint."""

import dataclasses
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
from .run_folder import Metrics


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
    """Model, optimizer, schedule, weight average, position and history of a run."""

    model: Module
    optimizer: Optimizer
    schedule: LRScheduler
    average: WeightAverage | None
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
            self.model.load_state_dict(weights_of(arrays))
            states: list[dict[str, Any]] = [{} for _ in self.optimizer.state]
            for name, array in weights_of(arrays, "optimizer").items():
                index, _, state_name = name.partition(".")
                states[int(index)][state_name] = array
            self.optimizer.load_state_dict({**about["optimizer"], "state": states})
            self.schedule.go_to(about["schedule"])
            if self.average is not None:
                self.average.load(weights_of(arrays, "average"), about["average"])
            self.history[:] = [Metrics(**row) for row in about["history"]]
            self.position = Position(**about["state"])
            set_random_state(about["random"])
        except (LookupError, TypeError, AttributeError) as error:
            raise CheckpointError(f"checkpoint {path} lacks a part that resuming needs: {error}") from error
        except (ValueError, ArithmeticError) as error:  # the description is untrusted input
            raise CheckpointError(f"checkpoint {path} has a part that does not fit: {error}") from error
