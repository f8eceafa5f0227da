"""`minisk download NAME DIR`: fetch and unpack an official CIFAR archive."""

import argparse
import sys
from typing import Any

from .text import add_command


def add_to(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = add_command(commands, "download", "fetch and unpack CIFAR, the official archive")
    parser.add_argument("name", choices=["cifar10", "cifar100"])
    parser.add_argument("data_dir", metavar="DIR", help="folder to download to")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fetch one data set and print its folder. Return 130 after Ctrl-C."""
    from ..data.download import download_cifar

    try:
        print(download_cifar(arguments.name, arguments.data_dir))
    except KeyboardInterrupt:
        print("\nstopped; the next try continues from there", file=sys.stderr)
        return 130
    return 0
