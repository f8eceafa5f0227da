"""Join the processes that a launcher started. A launcher that MPI does not know is refused, not ignored.

Without this check, `torchrun` or a wrong `mpirun` would start N processes that each take itself for rank 0 of 1.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

from ..errors import MiniskError
from .group import Group
from .mpi import MpiGroup


class Launcher(NamedTuple):
    """The variable that holds a launcher's number of processes, and another that it sets."""

    name: str
    size: str
    rank: str


# srun sets PMI_RANK or PMIX_RANK too if it starts MPI. SLURM_NTASKS is also set in a batch script, outside of srun.
_LAUNCHERS = (
    Launcher("Open MPI's mpirun", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    Launcher("mpirun", "PMI_SIZE", "PMI_RANK"),
    Launcher("torchrun", "WORLD_SIZE", "RANK"),
    Launcher("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)


def join(environment: Mapping[str, str] = os.environ) -> Group:
    """Return the group of all processes that a launcher started; a Group of one if there is no launcher.

    Raises:
        MiniskError: MPI is missing, or sees another number of processes than the launcher started.
    """
    launcher, started = _launcher(environment)
    if launcher is None or started == 1:
        return Group()
    if launcher.name == "torchrun":
        advice = "start with `mpirun -n N python …` instead: docs/parallel.md"
        raise MiniskError(f"{started} processes were started by torchrun, which is no MPI; {advice}")
    group = MpiGroup()
    if group.size != started:
        advice = "use the mpirun of the MPI library that mpi4py loads, or srun --mpi=pmix or --mpi=pmi2"
        found = f"MPI ({group.library}) sees {group.size}"
        raise MiniskError(f"{launcher.name} started {started} processes, but {found}: {advice}")
    return group


def _launcher(environment: Mapping[str, str]) -> tuple[Launcher | None, int]:
    """Return the launcher, and how many processes it started; (None, 1) without one."""
    for launcher in _LAUNCHERS:
        text = environment.get(launcher.size, "")
        if text.isdecimal() and launcher.rank in environment:
            return launcher, int(text)
    return None, 1
