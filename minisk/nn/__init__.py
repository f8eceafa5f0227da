"""Modules: layers, the selective kernel, and initialisers."""

from . import init
from .layers import AvgPool2d, BatchNorm2d, Conv2d, Dropout, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from .module import Buffer, Module, ModuleList, Parameter, Sequential
from .recompute import recompute

__all__ = [
    "AvgPool2d",
    "BatchNorm2d",
    "Buffer",
    "Conv2d",
    "Dropout",
    "GlobalAvgPool2d",
    "Linear",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "Parameter",
    "ReLU",
    "Sequential",
    "init",
    "recompute",
]
