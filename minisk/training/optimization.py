"""The optimizer and the learning-rate schedule that a Config describes."""

from typing import Any

from ..nn import BatchNorm1d, BatchNorm2d, Module
from ..optim import SGD, AdamW, CosineAnnealingLR, LRScheduler, MultiStepLR, OneCycleLR, Optimizer
from .config import Config


def parameter_groups(model: Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split parameters in two groups: weights decay; batch-norm scales and all biases do not."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def freeze_batch_norms(model: Module) -> None:
    """Keep statistics, scale and bias of every batch norm as they are, also in training mode."""
    for module in model.modules():
        if isinstance(module, BatchNorm1d | BatchNorm2d):
            module.freeze()


def make_optimizer(config: Config, model: Module) -> Optimizer:
    """Return the optimizer that the Config names, over the model's parameters."""
    groups = parameter_groups(model, config.weight_decay)
    if config.optimizer == "adamw":
        return AdamW(groups, config.lr, betas=(config.beta1, config.beta2))
    return SGD(groups, config.lr, config.momentum, nesterov=config.momentum > 0)


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
