"""Compare losses in mixed precision with those in float32: `python benchmarks/mixed_precision.py --steps 200`.

sknet_small learns some generated shapes by heart, three times with the same batches: in float32 by the kernels, in
float32 by the NumPy formulas, and in mixed precision by the formulas. Each row is the mean loss of 20 steps, and how
far the other two are from it. The two runs in float32 differ by rounding alone. Training enlarges any rounding error,
so their distance is what can be expected of mixed precision.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from numpy.typing import NDArray

from minisk.training import Config, Trainer

WINDOW = 20  # steps


def losses(kernels: str, precision: str, steps: int, batch_size: int, images: int, lr: float) -> NDArray[np.float64]:
    """Return the mean loss of each window, with MINISK_KERNELS=kernels."""
    os.environ["MINISK_KERNELS"] = kernels
    config = Config(
        batch_size=batch_size,
        train_images=images,
        lr=lr,
        epochs=steps * batch_size // images,
        crop_padding=0,
        mirror=False,
        device="cpu",
        precision=precision,
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, folder)
        trainer.model.train()
        epochs = range(1, config.epochs + 1)
        found = [trainer.train_step(batch)[0] for epoch in epochs for batch in trainer.train_loader.epoch(epoch)]
        scale = trainer.state.loss_scale
        print(f"{precision}, MINISK_KERNELS={kernels}: {trainer.schedule.steps} steps taken of {len(found)}; {scale}")
    return np.array(found).reshape(-1, WINDOW).mean(axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200, help=f"a multiple of {WINDOW}")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--images", type=int, default=320, help="a multiple of the batch size")
    parser.add_argument("--lr", type=float, default=0.02)
    arguments = parser.parse_args()
    settings = arguments.steps, arguments.batch_size, arguments.images, arguments.lr
    by_kernels, by_formulas = (losses(kernels, "float32", *settings) for kernels in ("auto", "numpy"))
    mixed = losses("numpy", "mixed", *settings)
    print("| steps | float32 | float32, other rounding | mixed |\n|---|---:|---:|---:|")
    for i, (loss, *others) in enumerate(zip(by_formulas, by_kernels, mixed, strict=True)):
        cells = " | ".join(f"{other:.4f} ({100 * (other / loss - 1):+.2f} %)" for other in others)
        print(f"| {i * WINDOW + 1} to {(i + 1) * WINDOW} | {loss:.4f} | {cells} |")


if __name__ == "__main__":
    main()
