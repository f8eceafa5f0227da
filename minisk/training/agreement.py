"""Agreement: when the ranks of a run stop and save. Each asks its own signals and clock, so they must ask together."""

from collections.abc import Callable

import numpy as np

from ..backend import Array
from ..distributed import Group


class Agreement:
    """What the ranks agree on in the exchange of each step. One process agrees with itself at once.

    Attributes:
        asked: returns what asks this process to stop, such as the number of a signal; 0: nothing does.
        stopped_by: the answer of the rank that was asked first; 0: training goes on.
        is_save_due: whether rank 0's clock asks for a checkpoint after this step.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self.asked: Callable[[], int] = lambda: 0
        self.stopped_by, self.is_save_due = 0, False

    def must_stop(self) -> bool:
        """Return whether every rank stops now."""
        if self.group.size == 1:
            self.stopped_by = int(self.asked())
        return self.stopped_by != 0

    def numbers(self, is_save_due: bool = False) -> Array:
        """Return what this rank adds to an exchange, float64 (1 + size,)."""
        own = np.zeros(1 + self.group.size)
        own[0] = is_save_due and self.group.rank == 0
        own[1 + self.group.rank] = self.asked()
        return own

    def learn(self, total: Array) -> None:
        """Take over the sum of all ranks' numbers."""
        self.is_save_due = bool(total[0])
        self.stopped_by = self.stopped_by or int(total[1:].max())
