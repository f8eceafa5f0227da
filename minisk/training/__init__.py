"""Training from start to finish: one `Config` describes a run, `Trainer` carries it out."""

from .config import OPTIMIZERS, SCHEDULES, Config, SettingError
from .mixed_precision import LossScale
from .run_folder import Metrics
from .trainer import Trainer

__all__ = ["OPTIMIZERS", "SCHEDULES", "Config", "LossScale", "Metrics", "SettingError", "Trainer"]
