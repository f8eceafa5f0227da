"""Layers, containers, initial weights and recomputation, under PyTorch's names."""

from . import init
from .activation import Flatten, Identity, ReLU, Sigmoid, Tanh
from .batchnorm import BatchNorm1d, BatchNorm2d
from .containers import ModuleList, Sequential
from .conv import Conv2d
from .conv_norm import conv_norm
from .dropout import Dropout
from .linear import Linear
from .module import Buffer, Module, Parameter, evaluation_mode
from .pooling import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from .recompute import recompute

__all__ = ["Buffer", "Module", "ModuleList", "Parameter", "Sequential"]
__all__ += ["conv_norm", "evaluation_mode", "init", "recompute"]
__all__ += [
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "Identity",
    "Linear",
]
__all__ += ["MaxPool2d", "ReLU", "Sigmoid", "Tanh"]
