"""Optimizers and learning-rate schedules, under PyTorch's names."""

from .optimizer import SGD, AdamW, CosineAnnealingLR, LRScheduler, MultiStepLR, OneCycleLR, Optimizer

__all__ = ["SGD", "AdamW", "CosineAnnealingLR", "LRScheduler", "MultiStepLR", "OneCycleLR", "Optimizer"]
