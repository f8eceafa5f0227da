"""Time a training step (forward, backward, SGD with momentum) of a model against PyTorch's, or a forward alone.

    python benchmarks/step.py sknet_small --batch-size 128
    python benchmarks/step.py sknet50 --batch-size 4 --inference
    python benchmarks/step.py sknet_small --batch-size 128 --scaling

Contenders share weights, batch and number of threads. Each has a process of its own. They take turns, so that a machine
that slows down slows all of them. The table gives medians, with the least and the greatest in brackets: milliseconds;
their ratio to PyTorch's in the same round; the share of the speed of a large matrix product (np.matmul, in the same
rounds); and the peak of memory, counted from the end of the imports. With --scaling, minisk runs alone: at one and two
threads, and with twice the batch.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from contest import (
    MATRIX_PRODUCT_FLOPS,
    Contender,
    Result,
    Step,
    compete,
    in_own_process,
    matrix_product,
    processor,
    ratios,
    require_agreement,
    spread,
    thread_variables,
    training_step,
)

if TYPE_CHECKING:
    import numpy as np

SETTINGS: dict[str, Any] = {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4, "nesterov": True}
ROOF = "np.matmul"


def minisk_step(
    model: Any, x: np.ndarray, y: np.ndarray, device: str = "cpu", inference: bool = False, mixed: bool = False
) -> Step:
    import minisk as ms
    from minisk import models
    from minisk.optim import SGD

    model.to(device).train(not inference)
    optimizer = SGD(model.parameters(), **SETTINGS)
    images, labels = ms.tensor(x, device=device), ms.tensor(y, device=device)

    @ms.autocast(mixed)
    def loss_of() -> Any:
        return models.classification_loss(model(images), labels)

    def predict() -> float:
        with ms.no_grad():
            return float(loss_of().item())

    return predict if inference else training_step(loss_of, optimizer.zero_grad, optimizer.step)


def torch_step(
    network: Any, x: np.ndarray, y: np.ndarray, device: str = "cpu", inference: bool = False, mixed: bool = False
) -> Step:
    import torch

    network.to(device).train(not inference)
    optimizer = torch.optim.SGD(network.parameters(), **SETTINGS)
    images, labels = torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)

    @torch.autocast(device, torch.float16, enabled=mixed)
    def loss_of() -> Any:
        outputs = network(images)
        if isinstance(outputs, tuple):  # with an auxiliary classifier
            main, auxiliary = (torch.nn.functional.cross_entropy(logits, labels) for logits in outputs)
            return main + 0.4 * auxiliary
        return torch.nn.functional.cross_entropy(outputs, labels)

    def predict() -> float:
        with torch.inference_mode():
            return float(loss_of().item())

    return predict if inference else training_step(loss_of, optimizer.zero_grad, optimizer.step)


def batch(batch_size: int, size: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random images and labels, the same in every process."""
    import numpy as np

    random = np.random.default_rng(0)
    x = random.standard_normal((batch_size, 3, size, size), np.float32)
    return x, random.integers(0, classes, batch_size)


class Workload(NamedTuple):
    """The work of a contender: a model, on batch_size images of size × size pixels."""

    model: str
    batch_size: int
    size: int
    classes: int
    inference: bool

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        return batch(self.batch_size, self.size, self.classes)


def model_of(name: str) -> Any:
    """Make a model, the same in every process; without dropout, whose draws no two libraries share."""
    import minisk as ms
    from minisk import models, nn

    ms.manual_seed(0)
    model = models.create(name)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def describe(name: str, batch_size: int, size: int | None, inference: bool) -> tuple[Workload, int]:
    """Return the workload, and the multiply-adds of its forward."""
    from minisk import models
    from minisk.analysis.summary import summarize

    model, pixels = model_of(name), size or models.input_size(name)
    classes = model.classifier.weight.shape[0]
    macs = batch_size * summarize(model, (3, pixels, pixels)).macs
    return Workload(name, batch_size, pixels, classes, inference), macs


def save_torch_model(name: str, path: str) -> None:
    """Save the PyTorch form of a model, so that PyTorch's process never imports minisk."""
    import torch
    from torch_models import torch_model

    torch.save(torch_model(model_of(name)), path)


def build_minisk(workload: Workload, recompute: bool) -> Step:
    model = model_of(workload.model)
    model.recompute = recompute
    return minisk_step(model, *workload.batch(), inference=workload.inference)


def build_torch(workload: Workload, path: str) -> Step:
    import torch

    return torch_step(torch.load(path, weights_only=False), *workload.batch(), inference=workload.inference)


def minisk_contender(label: str, workload: Workload, threads: int, kernels: str, recompute: bool = False) -> Contender:
    environment = {**thread_variables(threads), "MINISK_KERNELS": kernels}
    return Contender(label, environment, ("minisk.models", "minisk.optim"), build_minisk, (workload, recompute))


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the contest. Return the measurements, ready for JSON."""
    workload, macs = workload_of(arguments)
    variables = thread_variables(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.pt")
        in_own_process(save_torch_model, arguments.model, path)
        contenders = [
            Contender(ROOF, variables, ("numpy",), matrix_product),
            Contender("PyTorch", variables, ("torch",), build_torch, (workload, path)),
        ]
        for mode in arguments.kernels.split(","):
            contenders.append(minisk_contender(f"minisk {mode}", workload, arguments.threads, mode))
        if arguments.recompute:
            contenders.append(minisk_contender("minisk recompute", workload, arguments.threads, mode, recompute=True))
        results = compete(contenders, arguments.rounds)
    roof = results.pop(ROOF)
    require_agreement(results)
    flops = (2 if arguments.inference else 6) * macs
    rows = [row(name, result, results["PyTorch"], flops, arguments.batch_size) for name, result in results.items()]
    return {
        **vars(arguments),
        "size": workload.size,
        "processor": processor(),
        "torch": version("torch"),
        "roof": MATRIX_PRODUCT_FLOPS / statistics.median(roof.seconds),
        "rows": rows,
    }


def workload_of(arguments: argparse.Namespace) -> tuple[Workload, int]:
    given = arguments.model, arguments.batch_size, arguments.size, arguments.inference
    described: tuple[Workload, int] = in_own_process(describe, *given)
    return described


def row(name: str, result: Result, reference: Result, flops: int, batch_size: int) -> dict[str, Any]:
    middle = statistics.median(result.seconds)
    return {
        "name": name,
        **result._asdict(),
        "ratios": ratios(result.seconds, reference.seconds),
        "flops_per_second": flops / middle,
        "images_per_second": batch_size / middle,
    }


def cells(row: dict[str, Any], roof: float) -> list[str]:
    """Format the measurements of one contender, in the order of COLUMNS."""
    speed = row["flops_per_second"]
    memory = "?" if row["peak"] is None else f"{row['peak'] / 2**20:.0f}"
    milliseconds = spread([1e3 * seconds for seconds in row["seconds"]], 1)
    rates = f"{row['images_per_second']:.1f}", f"{speed / 1e9:.1f}", f"{100 * speed / roof:.0f}"
    return [row["name"], milliseconds, spread(row["ratios"]), *rates, memory]


COLUMNS = ("", "ms", "× PyTorch", "images/s", "GF/s", "% of roof", "peak, MiB")
WIDTHS = (18, 29, 21, 10, 9, 10, 10)


def print_steps(measured: dict[str, Any]) -> None:
    kind = "inference" if measured["inference"] else "training"
    print(f"{measured['processor']}, {measured['threads']} threads, PyTorch {measured['torch']}")
    print(f"{kind} of {measured['model']}, batch {measured['batch_size']}, {measured['size']} pixels, ", end="")
    print(f"{measured['rounds']} rounds; {ROOF}, the roof: {measured['roof'] / 1e9:.1f} GF/s")
    for line in [COLUMNS, *(cells(row, measured["roof"]) for row in measured["rows"])]:
        print("".join(f"{cell:<{width}}" for cell, width in zip(line, WIDTHS, strict=True)))


def measure_scaling(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run minisk alone. Return ratios of its times, round by round."""
    workload, _ = workload_of(arguments)
    mode, count, threads = arguments.kernels.split(",")[0], arguments.batch_size, arguments.threads
    contenders = [
        minisk_contender(label(images, used), workload._replace(batch_size=images), used, mode)
        for images, used in sorted({(count, threads), (2 * count, threads), (count, 1), (count, 2)})
    ]
    results = compete(contenders, arguments.rounds)
    seconds = {name: result.seconds for name, result in results.items()}
    return {
        **vars(arguments),
        "size": workload.size,
        "seconds": seconds,
        "twice the batch": ratios(seconds[label(2 * count, threads)], seconds[label(count, threads)]),
        "two threads": ratios(seconds[label(count, 1)], seconds[label(count, 2)]),
    }


def label(batch_size: int, threads: int) -> str:
    return f"batch {batch_size}, threads {threads}"


def print_scaling(measured: dict[str, Any]) -> None:
    for name, seconds in measured["seconds"].items():
        print(f"{name:<24}{spread([1e3 * each for each in seconds], 1)} ms")
    print(f"twice the batch takes {spread(measured['twice the batch'])} times as long")
    print(f"two threads are {spread(measured['two threads'])} times as fast as one")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a name that `minisk summary` accepts")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--size", type=int, help="pixels (default: the model's own)")
    parser.add_argument("--inference", action="store_true", help="a forward in evaluation mode, without gradients")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--kernels", default="auto", help="modes of MINISK_KERNELS, as auto,numpy (default: auto)")
    parser.add_argument(
        "--recompute", action="store_true", help="also run the last mode with units recomputed in backward"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--scaling", action="store_true", help="minisk alone: twice the batch, one and two threads")
    parser.add_argument("--json", type=Path, help="also write the measurements to this file")
    arguments = parser.parse_args()
    path = arguments.json
    del arguments.json  # the other arguments describe the measurement
    measured = measure_scaling(arguments) if arguments.scaling else measure(arguments)
    (print_scaling if arguments.scaling else print_steps)(measured)
    if path is not None:
        path.write_text(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
