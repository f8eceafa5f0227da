"""Optimizers (SGD with momentum, AdamW) and learning-rate schedules, under PyTorch's names.

A schedule counts optimizer steps, not epochs, and is a pure function of that count: resuming needs one number.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from .. import kernels
from ..autograd.tensor import Tensor
from ..backend import Array, array_module
from ..errors import CheckpointError, ShapeError

Group = dict[str, Any]


class Optimizer:
    """Holds parameters in groups, each with its own settings, and an array or two of state per parameter.

    params: Tensors, or dicts like {"params": [...], "weight_decay": 0.0} that override the defaults for some.
    """

    state_names: tuple[str, ...] = ()

    def __init__(self, params: Iterable[Any], **defaults: Any) -> None:
        given = list(params)
        if not given:
            raise ShapeError(f"{type(self).__name__}: no parameters to optimize")
        groups = given if isinstance(given[0], dict) else [{"params": given}]
        self.param_groups: list[Group] = [{**defaults, **group, "params": list(group["params"])} for group in groups]
        # One dict of arrays per parameter, in group order, filled at a parameter's first step.
        self.state: list[dict[str, Array]] = [{} for group in self.param_groups for _ in group["params"]]
        self.steps = [0] * len(self.state)  # of each parameter: one without a gradient sits a step out

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        owned = ((parameter, group) for group in self.param_groups for parameter in group["params"])
        for i, (parameter, group) in enumerate(owned):
            if parameter.grad is None:
                continue
            for name in self.state_names:
                if name not in self.state[i]:
                    self.state[i][name] = array_module(parameter.data).zeros_like(parameter.data)
            self.steps[i] += 1
            self.update(parameter.data, parameter.grad.data, group, self.steps[i], **self.state[i])
            parameter.mark_written()

    def update(self, weight: Array, grad: Array, group: Group, step: int, **state: Array) -> None:
        """Change one weight, and its state, in place; step: its how-manieth update this is, from 1."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget the gradient of every parameter."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return each group's settings, and each parameter's count of steps and state arrays (not copied)."""
        groups = [{key: value for key, value in group.items() if key != "params"} for group in self.param_groups]
        return {"steps": list(self.steps), "groups": groups, "state": [dict(state) for state in self.state]}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Take over what state_dict returned. Raises CheckpointError if it belongs to other parameters."""
        parameters: list[Tensor] = [parameter for group in self.param_groups for parameter in group["params"]]
        groups, *counts = (len(saved.get(key, ())) for key in ("groups", "state", "steps"))
        told = f"{type(self).__name__}: saved state"
        if groups != len(self.param_groups) or counts != [len(parameters)] * 2:
            expected = f"expected {len(self.param_groups)} and {len(parameters)}"
            raise CheckpointError(f"{told} has {groups} groups and {counts[0]} parameters, {expected}")
        for i, (parameter, state) in enumerate(zip(parameters, saved["state"], strict=True)):
            if any(name not in self.state_names or array.shape != parameter.shape for name, array in state.items()):
                raise CheckpointError(f"{told} of parameter {i} does not fit {parameter.shape}")
        self.steps = list(saved["steps"])
        for group, settings in zip(self.param_groups, saved["groups"], strict=True):
            group.update(settings)
        for parameter, own, state in zip(parameters, self.state, saved["state"], strict=True):
            xp = array_module(parameter.data)
            own.clear()
            own.update({name: xp.array(array, dtype=parameter.dtype) for name, array in state.items()})


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, as PyTorch defines it (Sutskever et al., 2013, for Nesterov's).

    g = grad + weight_decay · w      v ← momentum · v + g      w ← w - lr · v      (Nesterov: g + momentum · v)
    """

    state_names = ("velocity",)

    def __init__(
        self, params: Iterable[Any], lr: float, momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False
    ) -> None:
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)

    def update(self, weight: Array, grad: Array, group: Group, step: int, **state: Array) -> None:
        settings = (group[name] for name in ("lr", "momentum", "weight_decay", "nesterov"))
        kernels.sgd_momentum(weight, grad, state["velocity"], *settings)


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    w ← w - lr · weight_decay · w      m ← β₁·m + (1 - β₁)·g      s ← β₂·s + (1 - β₂)·g²
    w ← w - lr · m̂ / (sqrt(ŝ) + eps)   with m̂ = m / (1 - β₁ᵗ), ŝ = s / (1 - β₂ᵗ)
    """

    state_names = ("mean", "square")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr=lr, betas=list(betas), eps=eps, weight_decay=weight_decay)

    def update(self, weight: Array, grad: Array, group: Group, step: int, **state: Array) -> None:
        (beta1, beta2), mean, square = group["betas"], state["mean"], state["square"]
        weight *= 1 - group["lr"] * group["weight_decay"]
        mean *= beta1
        mean += (1 - beta1) * grad
        square *= beta2
        square += (1 - beta2) * grad * grad
        deviation = array_module(weight).sqrt(square / (1 - beta2**step))
        weight -= group["lr"] / (1 - beta1**step) * mean / (deviation + group["eps"])


class LRScheduler:
    """Sets the learning rate of each group to its peak times `factor(step)`; call `step()` after each optimizer step.

    warmup_steps: that many steps rise linearly to the schedule's value first. The peak is the group's learning rate
    when the schedule is made: make it first, then load the optimizer's state.
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: int = 0) -> None:
        self.optimizer, self.warmup_steps = optimizer, warmup_steps
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        self.go_to(0)

    def factor(self, step: int) -> float:
        """The share of the peak learning rate at this step, from 0."""
        raise NotImplementedError

    def go_to(self, step: int) -> None:
        """Set the learning rate of optimizer step `step`, as when resuming."""
        self.steps = step
        warmup = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * warmup * self.factor(step)

    def step(self) -> None:
        """Move on by one step."""
        self.go_to(self.steps + 1)


class MultiStepLR(LRScheduler):
    """Multiply by gamma at each milestone (a step count)."""

    def __init__(
        self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1, warmup_steps: int = 0
    ) -> None:
        self.milestones, self.gamma = list(milestones), gamma
        super().__init__(optimizer, warmup_steps)

    def factor(self, step: int) -> float:
        return float(self.gamma ** sum(step >= milestone for milestone in self.milestones))


class CosineAnnealingLR(LRScheduler):
    """Fall from the peak to 0 along half a cosine in total_steps (Loshchilov and Hutter, 2017)."""

    def __init__(self, optimizer: Optimizer, total_steps: int, warmup_steps: int = 0) -> None:
        self.total_steps = total_steps
        super().__init__(optimizer, warmup_steps)

    def factor(self, step: int) -> float:
        return (1 + math.cos(math.pi * min(1.0, step / self.total_steps))) / 2


class OneCycleLR(LRScheduler):
    """Rise linearly from peak / 25 in the first share `pct_start` of the steps, then fall linearly to 0.

    Source: Smith and Topin, *Super-Convergence*, 2018; momentum stays as it is.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, pct_start: float = 0.25, warmup_steps: int = 0) -> None:
        self.total_steps, self.rise = total_steps, max(1, round(pct_start * total_steps))
        super().__init__(optimizer, warmup_steps)

    def factor(self, step: int) -> float:
        if step < self.rise:
            return 0.04 + 0.96 * step / self.rise
        return max(0.0, (self.total_steps - step) / max(1, self.total_steps - self.rise))
