"""Train a network on ImageNet, or on your own photographs of any size: `python train_imagenet.py --help`."""

import sys

from minisk.cli.train import main

if __name__ == "__main__":
    sys.exit(main(program="train_imagenet"))
