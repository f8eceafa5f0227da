"""The optimizer and the learning-rate schedule that a Config describes."""

from typing import Any

from ..autograd import Tensor
from ..nn import BatchNorm1d, BatchNorm2d, Conv2d, Module
from ..optim import SGD, AdamW, CosineAnnealingLR, LRScheduler, MultiStepLR, Muon, OneCycleLR, Optimizer
from .config import Config

# Muon, found on CIFAR-10: the learning rate of scales and biases, times that of matrices; and how often the polynomial
# is applied, of which a step of sknet_small takes an eighth with 5, Muon's own default.
VECTOR_RATE, POLYNOMIALS = 7.0, 3


def parameter_groups(model: Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split parameters in two groups: weights decay; batch-norm scales and all biases do not."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def matrix_groups(model: Module, config: Config) -> list[dict[str, Any]]:
    """Return the groups of `parameter_groups` as Muon needs them.

    Weights of convolutions with as many groups are together, and vectors have a learning rate of their own.
    """
    groups_of = {id(module.weight): module.groups for module in model.modules() if isinstance(module, Conv2d)}
    matrices, vectors = parameter_groups(model, config.weight_decay)
    by_groups: dict[int, list[Tensor]] = {}
    for weight in matrices["params"]:
        by_groups.setdefault(groups_of.get(id(weight), 1), []).append(weight)
    parts = [{**matrices, "params": weights, "groups": groups} for groups, weights in sorted(by_groups.items())]
    return [*parts, {**vectors, "lr": VECTOR_RATE * config.lr}]


def freeze_batch_norms(model: Module) -> None:
    """Keep statistics, scale and bias of every batch norm as they are, also in training mode."""
    for module in model.modules():
        if isinstance(module, BatchNorm1d | BatchNorm2d):
            module.freeze()


def make_optimizer(config: Config, model: Module) -> Optimizer:
    """Return the optimizer that the Config names, over the model's parameters."""
    nesterov = config.momentum > 0
    if config.optimizer == "muon":
        return Muon(matrix_groups(model, config), config.lr, config.momentum, nesterov=nesterov, ns_steps=POLYNOMIALS)
    groups = parameter_groups(model, config.weight_decay)
    if config.optimizer == "adamw":
        return AdamW(groups, config.lr, betas=(config.beta1, config.beta2))
    return SGD(groups, config.lr, config.momentum, nesterov=nesterov)


def make_schedule(config: Config, optimizer: Optimizer, steps_per_epoch: int) -> LRScheduler:
    """Return the schedule that the Config names, over all steps of the run."""
    total, warmup = config.epochs * steps_per_epoch, round(config.warmup_epochs * steps_per_epoch)
    if config.schedule == "onecycle":
        return OneCycleLR(optimizer, total, warmup_steps=warmup)
    if config.schedule == "cosine":
        return CosineAnnealingLR(optimizer, total, warmup)
    every = config.step_epochs * steps_per_epoch
    milestones = list(range(every, total, every)) if every else [total // 2, total * 3 // 4]
    return MultiStepLR(optimizer, milestones, warmup_steps=warmup)
