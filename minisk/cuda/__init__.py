"""Hand-written CUDA kernels that run with or without a GPU: `launch(Kernel(file, name), grid, block, args)`.

kernels.py is the seam that operations call; `twins` holds each kernel's formula in NumPy; host/ is the C++ that runs a
`.cu` on a CPU. docs/cuda.md writes a layer with a kernel of its own.
"""

from .launcher import Kernel as Kernel, examine as examine, launch as launch  # isort: skip
