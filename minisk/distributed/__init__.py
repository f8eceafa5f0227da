"""Several processes that train one network, over MPI, and over NCCL between GPUs. Use: docs/parallel.md."""

from .data_parallel import DataParallel
from .group import (
    EndedByPeer,
    Group,
    broadcast_arrays,
    broadcast_json,
    fail_together,
    require_same_state,
    together,
)
from .launch import join
from .nccl import for_device

__all__ = ["DataParallel", "EndedByPeer", "Group", "broadcast_arrays", "broadcast_json", "fail_together", "for_device"]
__all__ += ["join", "require_same_state", "together"]
