"""Measure a trained model, and classify images with it."""

from .classifier import Classifier, load_classifier
from .metrics import RunningMean, count_correct, evaluate, resolve_device
from .report import Evaluation, Mistake, measure, report_run

__all__ = [
    "Classifier",
    "Evaluation",
    "Mistake",
    "RunningMean",
    "count_correct",
    "evaluate",
    "load_classifier",
    "measure",
    "report_run",
    "resolve_device",
]
