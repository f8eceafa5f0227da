"""Train a selective-kernel network on CIFAR, or on generated shapes: `python train_cifar.py --help`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence

from minisk import MiniskError, models
from minisk.data import DATASETS
from minisk.train import SCHEDULES, Config, Trainer, evaluate_checkpoint


def parser() -> argparse.ArgumentParser:
    """Describe the command line; the defaults are Config's."""
    default = Config()
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--dataset", choices=DATASETS, default=default.dataset, help="shapes is generated on the spot")
    p.add_argument("--data-dir", metavar="DIR", help="unpacked CIFAR binary archive, or a tree train/CLASS/*.png")
    p.add_argument("--model", default=default.model, metavar="NAME", help=", ".join(models.NAMES))
    p.add_argument("--epochs", type=int, default=default.epochs, metavar="N", help="passes over the training images")
    p.add_argument("--batch-size", type=int, default=default.batch_size, metavar="N", help="images per step")
    p.add_argument("--lr", type=float, default=default.lr, metavar="F", help="peak learning rate")
    p.add_argument("--momentum", type=float, default=default.momentum, metavar="F", help="Nesterov momentum")
    p.add_argument(
        "--weight-decay", type=float, default=default.weight_decay, metavar="F", help="none on batch norm and biases"
    )
    p.add_argument(
        "--label-smoothing", type=float, default=default.label_smoothing, metavar="F", help="spread over all classes"
    )
    p.add_argument("--schedule", choices=SCHEDULES, default=default.schedule, help="of the learning rate")
    p.add_argument(
        "--warmup-epochs", type=float, default=default.warmup_epochs, metavar="F", help="linear rise before all else"
    )
    p.add_argument("--seed", type=int, default=default.seed, metavar="N", help="same seed, same bits")
    p.add_argument("--device", default=default.device, metavar="{auto,cpu,cuda}", help="where to compute")
    p.add_argument("--out", default="runs/latest", metavar="DIR", help="folder for checkpoints and metrics")
    p.add_argument("--resume", action="store_true", help="go on from last.safetensors in --out")
    p.add_argument("--eval", metavar="CHECKPOINT", help="only measure this checkpoint on the test images")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Train or evaluate. Returns the exit status: 0; 1 after an error told in a sentence; 130 after Ctrl-C."""
    arguments = parser().parse_args(argv)
    try:
        if arguments.eval:
            loss, accuracy = evaluate_checkpoint(
                arguments.eval, arguments.dataset, arguments.data_dir, arguments.device
            )
            print(f"{arguments.eval}: loss {loss:.4f}, accuracy {accuracy:.2f} %")
        else:
            _train(arguments)
    except KeyboardInterrupt:
        print(f"\nstopped; if {arguments.out} holds a whole epoch, add --resume to go on from it", file=sys.stderr)
        return 130
    except (MiniskError, OSError) as error:
        print(f"train_cifar: {error}", file=sys.stderr)
        return 1
    return 0


def _train(arguments: argparse.Namespace) -> None:
    names = [field.name for field in dataclasses.fields(Config)]
    config = Config(**{name: getattr(arguments, name) for name in names})
    trainer = Trainer(config, arguments.out, arguments.resume)
    size = sum(parameter.size for parameter in trainer.model.parameters())
    print(f"{config.model}: {size:,} parameters, on {trainer.device}; {config.dataset}: {len(trainer.classes)} classes")
    for m in trainer.run(progress=sys.stderr.isatty()):
        print(
            f"epoch {m.epoch:3d}/{config.epochs}  train loss {m.train_loss:.3f} accuracy {m.train_accuracy:5.2f} %  "
            f"test loss {m.test_loss:.3f} accuracy {m.test_accuracy:5.2f} %  {m.images_per_second:.0f} images/s",
            flush=True,
        )
    best = max((m.test_accuracy for m in trainer.history), default=0.0)
    print(f"best test accuracy {best:.2f} %; checkpoints and metrics.csv in {arguments.out}")


if __name__ == "__main__":
    sys.exit(main())
