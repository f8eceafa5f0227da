"""The checkpoint files of a run: last.safetensors, to resume from, and best.safetensors, to use."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..backend import Array
from ..errors import CheckpointError
from ..serialization import load_checkpoint, save_checkpoint
from .config import Config
from .run_folder import RunLog
from .state import TrainingState

log = logging.getLogger("minisk")


class Checkpoints:
    """Reads and writes the checkpoints of one run.

    Args:
        folder: the run's folder.
        run_log: every save is an event of it.
        every_steps: steps between saves within an epoch; 0: none of these.
        every_minutes: minutes of wall clock between saves within an epoch; 0: none of these.
    """

    def __init__(self, folder: Path, run_log: RunLog, every_steps: int, every_minutes: float) -> None:
        self.folder, self.last, self.log = folder, folder / "last.safetensors", run_log
        self.every_steps, self.every_minutes = every_steps, every_minutes
        self._saved_at = time.monotonic()
        self._known = file_version(self.last)
        self._unsaved_best: tuple[dict[str, Array], dict[str, Any]] | None = None

    def load(self, config: Config) -> tuple[dict[str, Array], dict[str, Any]] | None:
        """Return arrays and description of last.safetensors, None if there is none.

        Raises:
            CheckpointError: it is damaged, or of a run with other settings.
        """
        if self._known is None:
            return None
        arrays, about = load_checkpoint(self.last)
        before = about.get("config", {})
        if not isinstance(before, Mapping):
            raise CheckpointError(f"checkpoint {self.last} has a damaged description: its config is no mapping")
        changed = config.changes_from(before)
        if changed:
            remedy = "leave these flags out, or choose another --out"
            raise CheckpointError(f"{self.last} can't be resumed with other settings: {'; '.join(changed)}; {remedy}")
        return arrays, about

    def refuse_if_any(self) -> None:
        """Raise CheckpointError if the folder holds a run that has trained for at least one step."""
        if self._known is not None and not _is_untrained(self.last):
            raise CheckpointError(f"{self.folder} holds a run already: go on with --resume, or choose another --out")

    def check_unchanged(self) -> None:
        """Raise CheckpointError if another process wrote last.safetensors since this one read or wrote it."""
        if file_version(self.last) != self._known:
            raise CheckpointError(f"{self.last} was changed by another process since this one read it")

    def is_due(self, steps: int) -> bool:
        """Return whether to save after so many steps of the run. The clock decides no bit, only when to save."""
        if self.every_steps and steps % self.every_steps == 0:
            return True
        return self.every_minutes > 0 and time.monotonic() - self._saved_at >= 60 * self.every_minutes

    def keep_best(self, weights: dict[str, Array], about: dict[str, Any]) -> None:
        """Write these arrays to best.safetensors at the next save. They must be copies."""
        self._unsaved_best = weights, about

    def save(self, state: TrainingState, about: dict[str, Any], must: bool = False) -> None:
        """Write best.safetensors, if it changed, and last.safetensors.

        A failure is logged, and the next save tries again.

        Args:
            state: what `TrainingState.restore` will take over.
            about: settings, classes, history: what the description holds besides the state.
            must: raise on failure, because no later save will follow.

        Raises:
            CheckpointError: `must`, and a file could not be written.
        """
        arrays, values = state.to_checkpoint()
        position = state.position
        self._saved_at = time.monotonic()
        try:
            if self._unsaved_best is not None:
                save_checkpoint(self.folder / "best.safetensors", *self._unsaved_best)
                self._unsaved_best = None
            save_checkpoint(self.last, arrays, {**about, **values})
        except CheckpointError as error:
            self.log.event("not saved", epoch=position.epoch, step=position.step, why=str(error))
            if must:
                rest = "go on from the earlier one with --resume" if self.last.exists() else "start again"
                raise CheckpointError(f"{error}; make room, then {rest}") from None
            log.warning("%s; the earlier one stays, training goes on, and the next save tries again", error)
        else:
            self._known = file_version(self.last)
            self.log.event("save", epoch=position.epoch, step=position.step)


def file_version(path: Path) -> tuple[int, int] | None:
    """Return a value that identifies one version of a file, None if there is no file.

    Each version is a new file that was moved into place, so it has an inode and a time of its own.
    """
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None


def _is_untrained(path: Path) -> bool:
    """Return whether a checkpoint was written before the first step: nothing is lost if it is replaced."""
    try:
        state = load_checkpoint(path)[1]["state"]
        return (state["epoch"], state["step"]) == (1, 0)
    except (CheckpointError, LookupError, TypeError):
        return False
