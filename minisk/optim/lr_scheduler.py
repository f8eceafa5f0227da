"""Learning-rate schedules, under PyTorch's names.

A schedule counts optimizer steps, not epochs, and is a pure function of that count: resuming needs one number.
"""

import math
from collections.abc import Sequence

from ..errors import ArgumentError, require_integers, require_numbers
from .optimizer import Optimizer


class LRScheduler:
    """Set the learning rate of each group to its peak · `factor(step)`; call `step()` after each optimizer step.

    The peak is the group's learning rate when the schedule is made. So make the schedule first, then load the
    optimizer's state.

    Args:
        optimizer: its groups' `lr` is set.
        warmup_steps: during this many steps, the learning rate rises linearly to the schedule's value.

    Attributes:
        steps: number of steps taken.

    Raises:
        ShapeError: a count of steps is not an integer, or too small.
        ArgumentError: optimizer is not an Optimizer, or another argument is out of range.
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: int = 0) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(f"{type(self).__name__}: {type(optimizer).__name__} is not an Optimizer")
        require_integers(type(self).__name__, least=0, warmup_steps=warmup_steps)
        self.optimizer = optimizer
        self.warmup_steps = warmup_steps
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        self.go_to(0)

    def factor(self, step: int) -> float:
        """Return the share of the peak learning rate at this step, starting at 0."""
        raise NotImplementedError

    def rate(self, step: int, peak: float) -> float:
        """Return the learning rate at this step, starting at 0, of a group with this peak."""
        warmup = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return peak * warmup * self.factor(step)

    def go_to(self, step: int) -> None:
        """Set the learning rate of optimizer step `step`, starting at 0."""
        self.steps = step
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = self.rate(step, peak)

    def step(self) -> None:
        """Set the learning rate of the next step."""
        self.go_to(self.steps + 1)


class MultiStepLR(LRScheduler):
    """Multiply the learning rate by gamma at each milestone, a step count; PyTorch's name, in steps."""

    def __init__(
        self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1, warmup_steps: int = 0
    ) -> None:
        self.milestones = list(milestones)
        for milestone in self.milestones:
            require_integers("MultiStepLR", least=0, milestone=milestone)
        require_numbers("MultiStepLR", gamma=gamma)
        self.gamma = gamma
        super().__init__(optimizer, warmup_steps)

    def factor(self, step: int) -> float:
        passed = sum(step >= milestone for milestone in self.milestones)
        return float(self.gamma**passed)


class CosineAnnealingLR(LRScheduler):
    """Reduce the learning rate from the peak to 0 along half a cosine, in total_steps.

    Source: Loshchilov and Hutter, *SGDR*, 2017.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, warmup_steps: int = 0) -> None:
        require_integers("CosineAnnealingLR", total_steps=total_steps)
        self.total_steps = total_steps
        super().__init__(optimizer, warmup_steps)

    def factor(self, step: int) -> float:
        return (1 + math.cos(math.pi * min(1.0, step / self.total_steps))) / 2


class OneCycleLR(LRScheduler):
    """Raise the learning rate linearly from peak / 25, then reduce it linearly to 0; momentum stays constant.

    Source: Smith and Topin, *Super-Convergence*, 2018.

    Args:
        optimizer, warmup_steps: as of LRScheduler.
        total_steps: length of the cycle.
        pct_start: share of the cycle during which the learning rate rises.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, pct_start: float = 0.25, warmup_steps: int = 0) -> None:
        require_integers("OneCycleLR", total_steps=total_steps)
        require_numbers("OneCycleLR", at_most=1, pct_start=pct_start)
        self.total_steps = total_steps
        self.rise = max(1, round(pct_start * total_steps))
        super().__init__(optimizer, warmup_steps)

    def factor(self, step: int) -> float:
        if step < self.rise:
            return 0.04 + 0.96 * step / self.rise
        return max(0.0, (self.total_steps - step) / max(1, self.total_steps - self.rise))
