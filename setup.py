"""Packaging; settings of the development tools are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"', (HERE / "minisk/__init__.py").read_text(), re.MULTILINE)
assert VERSION is not None

setup(
    name="minisk",
    version=VERSION[1],
    description="A small tensor and autograd framework on NumPy and CuPy that trains Selective Kernel Networks",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["minisk", "minisk.*"]),
    package_data={
        "minisk": [
            "py.typed",
            "cuda/*.cu",
            "cuda/*.cuh",
            "cuda/steps/*.cu",
            "cuda/steps/*.cuh",
            "cuda/cases/*.txt",
            "runtime/include/*.h",
            "runtime/include/*/*.h",
            "runtime/include/nvidia/cooperative_groups/*.h",
            "runtime/include/nvidia/cuda/std/*",
            "runtime/include/*.cpp",
            "models/weights/*.safetensors",
        ]
    },
    install_requires=["numpy>=2.0", "pillow>=10.1", "tqdm>=4.60", "safetensors>=0.4"],
    extras_require={
        "cuda12": ["cupy-cuda12x>=14"],
        "cuda13": ["cupy-cuda13x>=14"],
        "plot": ["matplotlib>=3.8"],
        "tensorboard": ["tensorboardX>=2.6"],
        "onnx": ["onnx>=1.17"],
        "book": ["jupytext>=1.16", "notebook>=7"],
        "notebook": ["jupytext>=1.16", "nbclient>=0.10", "ipykernel>=6.29"],
        "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.5,<10", "mkdocstrings[python]>=0.26"],
        "mpi": ["mpi4py>=4"],
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.5",
            "hypothesis>=6.100",
            "matplotlib>=3.8",
            "tensorboardX>=2.6",
            "onnx>=1.17",
            "onnxruntime>=1.20",
        ],
        "lint": ["ruff==0.17.6", "mypy==2.4.1"],
        "nvrtc": ["nvidia-cuda-nvrtc>=13,<14"],
        "parity": ["torch==2.13.0"],
    },
    entry_points={"console_scripts": ["minisk=minisk.cli:main"]},
)
