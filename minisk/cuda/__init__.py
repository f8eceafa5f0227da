"""Hand-written CUDA kernels that run with or without a GPU: `launch(Kernel(file, name), grid, block, args)`.

Each `.cu` stands beside the Python of the same name that launches it. docs/cuda.md writes a layer with its own kernel.
"""

from ..runtime import Kernel, examine, launch

__all__ = ["Kernel", "examine", "launch"]
