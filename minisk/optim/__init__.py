"""Optimizers, learning-rate schedules, gradient clipping and weight averaging, under PyTorch's names."""

from .adamw import AdamW
from .clip import clip_grad_norm_, clip_gradients, gradient_norm, scale_gradients
from .ema import WeightAverage
from .lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, OneCycleLR
from .muon import Muon
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "AdamW", "Muon", "Optimizer", "WeightAverage", "clip_grad_norm_", "clip_gradients", "gradient_norm"]
__all__ += ["CosineAnnealingLR", "LRScheduler", "MultiStepLR", "OneCycleLR", "scale_gradients"]
