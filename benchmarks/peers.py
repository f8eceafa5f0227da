"""Time one training step of two small networks in minisk, PyTorch, Chainer, DeZero and tinygrad.

    python benchmarks/peers.py
    python benchmarks/peers.py --only DeZero,tinygrad

Who is not installed is left out, with the command that installs it. The same weights, batch and number of threads for
all, and each in a process of its own, as in step.py; in a turn each repeats its step for a while.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

from contest import (
    Contender,
    Result,
    Step,
    compete,
    processor,
    ratios,
    require_agreement,
    spread,
    thread_variables,
    training_step,
)

SETTINGS = {"lr": 0.01, "momentum": 0.9}
TURN = 0.3  # seconds
IMAGES, CLASSES = 32, 10
NETWORKS = {
    "MLP 784, 128, 10": {"x": (IMAGES, 784), "weights": [(128, 784), (128,), (CLASSES, 128), (CLASSES,)]},
    "3 convolutions, 32 pixels": {
        "x": (IMAGES, 3, 32, 32),
        "weights": [(32, 3, 3, 3), (64, 32, 3, 3), (64, 64, 3, 3), (CLASSES, 64 * 8 * 8), (CLASSES,)],
    },
}


def problem(network: str) -> tuple[list[Any], Any, Any]:
    """Return weights, images and labels as arrays; the same in every process."""
    import numpy as np

    random = np.random.default_rng(0)
    # He's deviation, √(2 / inputs of an output); biases are zero.
    weights = [
        (random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:])) * (len(shape) > 1)).astype(np.float32)
        for shape in NETWORKS[network]["weights"]
    ]
    x = random.standard_normal(NETWORKS[network]["x"]).astype(np.float32)
    return weights, x, random.integers(0, CLASSES, IMAGES).astype(np.int32)


class Calls(NamedTuple):
    """What a network is made of: convolution (x, weight, stride) padded by 1, linear (x, weight, bias), and ReLU."""

    conv: Callable[[Any, Any, int], Any]
    linear: Callable[[Any, Any, Any], Any]
    relu: Callable[[Any], Any]


def logits_of(calls: Calls, weights: list[Any], x: Any) -> Any:
    if len(x.shape) == 2:
        return calls.linear(calls.relu(calls.linear(x, *weights[:2])), *weights[2:])
    for weight, stride in zip(weights[:3], (1, 2, 2), strict=True):
        x = calls.relu(calls.conv(x, weight, stride))
    return calls.linear(x.reshape(IMAGES, -1), *weights[3:])


def minisk_step(network: str) -> Step:
    import minisk as ms
    from minisk import ops
    from minisk.optim import SGD

    weights, x, y = problem(network)
    parameters = [ms.tensor(weight, requires_grad=True) for weight in weights]
    images, labels = ms.tensor(x), ms.tensor(y)
    optimizer = SGD(parameters, **SETTINGS)
    calls = Calls(lambda x, w, stride: ops.conv2d(x, w, None, stride, 1), ops.linear, ops.relu)
    return training_step(
        lambda: ops.cross_entropy(logits_of(calls, parameters, images), labels), optimizer.zero_grad, optimizer.step
    )


def torch_step(network: str) -> Step:
    import torch
    from torch.nn import functional as F

    weights, x, y = problem(network)
    parameters = [torch.from_numpy(weight).requires_grad_() for weight in weights]
    images, labels = torch.from_numpy(x), torch.from_numpy(y).long()
    optimizer = torch.optim.SGD(parameters, **SETTINGS)
    calls = Calls(lambda x, w, stride: F.conv2d(x, w, None, stride, 1), F.linear, torch.relu)
    return training_step(
        lambda: F.cross_entropy(logits_of(calls, parameters, images), labels), optimizer.zero_grad, optimizer.step
    )


def give_numpy_its_old_names() -> None:
    """Chainer 7.8 and DeZero 0.0.13 use names that NumPy dropped after their last release."""
    import numpy as np

    vars(np).update(int=int, float=float, object=object)
    vars(np)["sctypes"] = {"int": [np.int8, np.int16, np.int32, np.int64]}


def chainer_step(network: str) -> Step:
    give_numpy_its_old_names()
    import chainer
    from chainer import functions as F

    weights, x, y = problem(network)
    link = chainer.Link()
    with link.init_scope():
        for i, weight in enumerate(weights):
            setattr(link, f"weight{i}", chainer.Parameter(weight))
    parameters = [getattr(link, f"weight{i}") for i in range(len(weights))]
    optimizer = chainer.optimizers.MomentumSGD(*SETTINGS.values()).setup(link)
    calls = Calls(lambda x, w, stride: F.convolution_2d(x, w, None, stride, 1), F.linear, F.relu)
    return training_step(
        lambda: F.softmax_cross_entropy(logits_of(calls, parameters, chainer.Variable(x)), y),
        link.cleargrads,
        optimizer.update,
    )


def dezero_step(network: str) -> Step:
    give_numpy_its_old_names()
    import dezero
    from dezero import functions as F
    from dezero.optimizers import MomentumSGD

    weights, x, y = problem(network)
    layer = dezero.Layer()
    parameters = [dezero.Parameter(weight) for weight in weights]
    for i, parameter in enumerate(parameters):
        setattr(layer, f"weight{i}", parameter)
    optimizer = MomentumSGD(*SETTINGS.values()).setup(layer)
    calls = Calls(lambda x, w, stride: F.conv2d(x, w, None, stride, 1), lambda x, w, b: F.linear(x, w.T, b), F.relu)
    return training_step(
        lambda: F.softmax_cross_entropy(logits_of(calls, parameters, dezero.Variable(x)), y),
        layer.cleargrads,
        optimizer.update,
    )


def tinygrad_step(network: str) -> Step:
    from tinygrad import Context, Tensor, TinyJit
    from tinygrad.nn.optim import SGD

    weights, x, y = problem(network)
    parameters = [Tensor(weight).realize() for weight in weights]
    images, labels = Tensor(x).realize(), Tensor(y).realize()
    optimizer = SGD(parameters, **SETTINGS)
    calls = Calls(
        lambda x, w, stride: x.conv2d(w, stride=stride, padding=1), lambda x, w, b: x.linear(w.T, b), Tensor.relu
    )

    @TinyJit
    def jitted() -> Tensor:
        optimizer.zero_grad()
        loss = logits_of(calls, parameters, images).sparse_categorical_crossentropy(labels)
        loss.backward()
        return loss.realize(*optimizer.schedule_step())

    def step() -> float:
        with Context(TRAINING=1):
            return float(jitted().item())

    return step


class Peer(NamedTuple):
    """Its module, what makes its step, and how to install it."""

    module: str
    build: Callable[[str], Step]
    install: str


PEERS = {
    "PyTorch": Peer("torch", torch_step, "pip install torch --index-url https://download.pytorch.org/whl/cpu"),
    "minisk": Peer("minisk", minisk_step, "pip install ."),
    "Chainer": Peer("chainer", chainer_step, "pip install 'setuptools<70' && pip install --no-build-isolation chainer"),
    "DeZero": Peer("dezero", dezero_step, "pip install dezero matplotlib"),
    "tinygrad": Peer("tinygrad", tinygrad_step, "pip install tinygrad"),
}


def tell(results: dict[str, Result]) -> None:
    require_agreement(results)
    for name, result in results.items():
        line = f"{name:<10}{spread([1e3 * seconds for seconds in result.seconds]):<26}ms"
        if "PyTorch" in results:
            line += f"   {spread(ratios(result.seconds, results['PyTorch'].seconds))} × PyTorch"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PEERS), help="who takes part (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    environment = {
        **thread_variables(arguments.threads),
        "NUM_CPU_THREADS": str(arguments.threads),
    }  # the last is tinygrad's
    present = []
    for name in arguments.only.split(","):
        if find_spec(PEERS[name].module):
            present.append(name)
        else:
            print(f"{name} is not installed: {PEERS[name].install}")
    print(f"{processor()}, {arguments.threads} threads, batch {IMAGES}; a training step:")
    for network in NETWORKS:
        print(f"\n{network}")
        contenders = [Contender(name, environment, (), PEERS[name].build, (network,)) for name in present]
        tell(compete(contenders, arguments.rounds, TURN))


if __name__ == "__main__":
    main()
