"""`minisk shards`: write the photographs of a tree as tar files, for disks that dislike many small files."""

import argparse
from pathlib import Path
from typing import Any

from ..errors import MiniskError
from .text import add_command, printable


def add_to(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = add_command(commands, "shards", "write a tree of photographs as tar files, in WebDataset's layout")
    parser.add_argument("tree", metavar="TREE", help="holds train/CLASS/ and val/CLASS/, as for --dataset imagenet")
    parser.add_argument("out", metavar="DIR", help="folder to write train/000000.tar, … and val/000000.tar, … to")
    parser.add_argument("--photographs", type=int, default=1000, metavar="N", help="in each file (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of their order (default: 0)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Write the shards of both splits. Raises MiniskError for a folder that is not empty."""
    from ..data import CenterView, ImageFolder, write_shards

    out = Path(arguments.out)
    if not arguments.out or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise MiniskError(f"DIR {arguments.out} must be a new or an empty folder")
    if arguments.photographs < 1:
        raise MiniskError(f"--photographs {arguments.photographs} must be at least 1")
    for split in ("train", "test"):
        source = ImageFolder(arguments.tree, split, CenterView(1))
        count = write_shards(source, split, arguments.out, arguments.photographs, arguments.seed)
        print(f"{split}: {len(source):,} photographs in {count} tar files in {printable(arguments.out)}")
