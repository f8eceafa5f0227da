"""Processes that a launcher started join one group, or refuse to start."""

import numpy as np
import pytest

from minisk.distributed import Group, join, launch
from minisk.errors import MiniskError


class FakeMpi(Group):
    library = "MPICH 5.0.2"

    def __init__(self, size):
        self.size = size


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"},  # a batch script, outside of srun
        {"PMI_SIZE": "1", "PMI_RANK": "0"},
        {"WORLD_SIZE": "8"},  # set by hand for another program: no rank beside it
    ],
)
def test_one_process_needs_no_mpi(environment, monkeypatch):
    monkeypatch.setattr(launch, "MpiGroup", lambda: pytest.fail("MPI was started"))
    assert type(join(environment)) is Group


@pytest.mark.parametrize("variables", [("PMI_SIZE", "PMI_RANK"), ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK")])
def test_all_processes_of_mpirun_join(variables, monkeypatch):
    monkeypatch.setattr(launch, "MpiGroup", lambda: FakeMpi(4))
    assert join(dict(zip(variables, "42", strict=True))).size == 4


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "2", "RANK": "1"}, "2 processes were started by torchrun, which is no MPI; start with `mpirun"),
        (
            {"PMI_SIZE": "2", "PMI_RANK": "0"},
            r"mpirun started 2 processes, but MPI \(MPICH 5.0.2\) sees 1: use",
        ),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "3"}, "srun started 8 processes, .* or srun --mpi=pmix"),
    ],
)
def test_a_launcher_that_mpi_does_not_know_is_refused(environment, message, monkeypatch):
    monkeypatch.setattr(launch, "MpiGroup", lambda: FakeMpi(1))
    with pytest.raises(MiniskError, match=message):
        join(environment)


def test_one_process_alone_exchanges_nothing():
    group, numbers = Group(), np.array([1.0, 2.0])
    group.sum(numbers)
    group.broadcast(numbers)
    group.close()
    assert numbers.tolist() == [1, 2] and group.gather(numbers).tolist() == [[1, 2]]
