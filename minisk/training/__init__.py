"""Training from start to finish: one `Config` describes a run, `Trainer` carries it out."""

from .config import SCHEDULES, Config
from .run_folder import Metrics
from .trainer import Trainer

__all__ = ["SCHEDULES", "Config", "Metrics", "Trainer"]
