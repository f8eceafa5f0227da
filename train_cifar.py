"""Train a selective-kernel network on CIFAR, or on generated shapes: `python train_cifar.py --help`."""

import sys

from minisk.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
