"""Trained networks: those that come with the package, checkpoints of training, and files of other frameworks."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import Array
from ..errors import CheckpointError, MiniskError
from ..interchange import SOURCE_NAMES, SOURCES, ForeignWeights, Preprocessing, Source, matching_sources, read_weights
from ..nn import init
from ..serialization import load_checkpoint, save_checkpoint, weights_of
from .network import Network
from .registry import NAMES, OPTIONS, create, info, input_size

log = logging.getLogger("minisk")

# name → file
TRAINED = {path.stem: path for path in sorted((Path(__file__).parent / "weights").glob("*.safetensors"))}

# A file with minisk's own names, such as `ms.save(model.state_dict(), file)` writes.
_OWN = Source("minisk", NAMES, note="the file does not say how pixels are normalised: ImageNet's values are assumed")
_LONGEST_NAME = 200  # characters of a class name


@dataclass(frozen=True)
class Pretrained:
    """Trained weights of one of minisk's models.

    Attributes:
        model: a name of the registry.
        arrays: the model's state dict.
        source: who named the arrays: "minisk", or one of interchange.SOURCE_NAMES.
        classes: number of logits.
        preprocessing: of the photographs. None: a checkpoint of training, whose description says it.
        options: of the model, as of `create`.
        note: what someone who uses the weights must know; "" if there is nothing.
    """

    model: str
    arrays: Mapping[str, Array]
    source: str
    classes: int
    preprocessing: Preprocessing | None = None
    options: Mapping[str, bool] = field(default_factory=dict)
    note: str = ""

    def network(self) -> Network:
        """Return a new network with these weights, in evaluation mode. Raises CheckpointError if they do not fit."""
        with init.skipped():
            network = create(self.model, self.classes, **self.options)
        network.load_state_dict(self.arrays)
        network.eval()
        return network


def load(name: str | Path, num_classes: int | None = None, model: str | None = None) -> Network:
    """Return a trained network, in evaluation mode.

    It expects normalised images, (N, 3, H, W) of its `input_size`. To classify image files, use
    `minisk.evaluation.classifier.load_classifier(name)`, which also knows the normalization and the classes.

    Args:
        name: one of TRAINED, such as "sknet_small-cifar10"; or a file: a checkpoint of training, an output of
            `minisk convert`, or a .safetensors, .pth, .npz or .caffemodel of another framework.
        num_classes: for fine-tuning. If the file has another number, the classifier gets random weights, and a log
            line says so.
        model: minisk's name of the model in a file; None: found by the names and shapes of its arrays.

    Raises:
        CheckpointError: there is no such file, or it is damaged or fits no model.
        MiniskError: there is no trained network or model of this name.
    """
    if str(name) not in TRAINED and not Path(name).exists():
        raise MiniskError(f"no trained network {str(name)!r}: expected a file, or one of {', '.join(TRAINED)}")
    found = read_pretrained(TRAINED.get(str(name), name), model)
    if num_classes is None or num_classes == found.classes:
        return found.network()
    network = create(found.model, num_classes, **found.options)
    initialize(network, found, name)
    network.eval()
    return network


def initialize(network: Network, found: Pretrained, path: str | Path) -> None:
    """Copy trained weights into a network; keep the network's own classifier if the number of classes differs.

    Args:
        network: changed in place.
        found: the weights.
        path: of their file, for log lines and errors.

    Raises:
        CheckpointError: the weights do not fit; none is copied.
    """
    state, classes = dict(found.arrays), network.classifier.weight.shape[0]
    if found.classes != classes:
        own = {name: value.data for name, value in network.state_dict().items() if _is_classifier(name)}
        state |= own
        log.warning("%s has %d classes, not %d: its classifier is left out", path, found.classes, classes)
    try:
        network.load_state_dict(state)
    except CheckpointError as error:
        raise CheckpointError(f"weights file {path}: {error}") from None


def read_pretrained(path: str | Path, model: str | None = None, source: str | None = None) -> Pretrained:
    """Return the weights in a file, under minisk's names. Nothing in the file is executed.

    Args:
        path: as `name` of `load`.
        model: minisk's name of the model; None: found by the names and shapes of the arrays.
        source: "minisk" or one of interchange.SOURCE_NAMES; None: found by the names of the arrays.

    Raises:
        CheckpointError: the file is damaged or fits no model.
        MiniskError: model or source is not known.
    """
    if model is not None:
        info(model)
    if source is not None and source not in (_OWN.name, *SOURCE_NAMES):
        raise MiniskError(f"source {source!r} is not known: expected one of {', '.join([_OWN.name, *SOURCE_NAMES])}")
    foreign = read_weights(path)
    if "minisk" in foreign.metadata:
        return _of_checkpoint(path, model)
    if source is not None:
        sources = [entry for entry in (_OWN, *SOURCES) if entry.name == source]
    else:
        sources = matching_sources(list(foreign.arrays)) or [_OWN]
    try:
        return _best(foreign, sources, model)
    except CheckpointError as error:
        raise CheckpointError(f"weights file {path}: {error}") from None


def save_pretrained(found: Pretrained, out: str | Path, classes: Sequence[str] | None = None, file: str = "") -> None:
    """Write weights as a checkpoint that `minisk predict` and `minisk evaluate` can use.

    Args:
        found: the weights, of another framework.
        out: the file to write.
        classes: names in label order; None: "class 0", "class 1", …
        file: where the weights come from, for the description.

    Raises:
        CheckpointError: the number of names differs, a name is too long, or the file cannot be written.
    """
    names = [f"class {index}" for index in range(found.classes)] if classes is None else list(classes)
    if len(names) != found.classes:
        raise CheckpointError(f"{len(names)} names of classes were given, but the weights have {found.classes}")
    if any(len(name) > _LONGEST_NAME for name in names):
        raise CheckpointError(f"a class has a name of more than {_LONGEST_NAME} characters")
    pixels = found.preprocessing or Preprocessing()
    about = {
        "config": {"model": found.model, "dataset": "imagenet", "options": dict(found.options)},
        "classes": names,
        "normalization": {"mean": list(pixels.mean), "std": list(pixels.std)},
        "image_size": [input_size(found.model)] * 2,
        "crop": pixels.crop,
        "interpolation": pixels.interpolation,
        "source": {"names": found.source, "file": file},
    }
    save_checkpoint(out, {f"model.{name}": array for name, array in found.arrays.items()}, about)


def with_red_first(found: Pretrained) -> Pretrained:
    """Return weights that take red, green, blue, made of weights that take blue, green, red."""
    first = next(name for name, array in found.arrays.items() if array.ndim == 4 and array.shape[1] == 3)
    return replace(found, arrays={**found.arrays, first: found.arrays[first][:, ::-1]})


def _of_checkpoint(path: str | Path, model: str | None) -> Pretrained:
    """Return the weights of a checkpoint that training or save_pretrained wrote; the averaged ones if there are any."""
    arrays, about = load_checkpoint(path)
    weights = weights_of(arrays, "average") or weights_of(arrays)
    config: Any = about.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("model"), str):
        raise CheckpointError(f"checkpoint {path} does not name its model")
    if "classifier.weight" not in weights:
        raise CheckpointError(f"checkpoint {path} has no classifier.weight")
    classes = len(weights["classifier.weight"])
    options = config.get("options", {})
    if not isinstance(options, dict) or not options.keys() <= set(OPTIONS):
        raise CheckpointError(f"checkpoint {path} has other options of its model than {', '.join(OPTIONS)}")
    return Pretrained(model or config["model"], weights, "minisk", classes, None, options)


def _best(foreign: ForeignWeights, sources: Sequence[Source], model: str | None) -> Pretrained:
    """Return the weights as those of the model that fits. Raises CheckpointError, for the closest, if none does."""
    closest: Pretrained | None = None
    fewest = 0
    for source in sources:
        renamed = source.rename(foreign.arrays)
        for name in source.models if model is None else [model]:
            candidate, misfits = _as_model(name, renamed, source)
            if misfits == 0:
                return candidate
            if closest is None or misfits < fewest:
                closest, fewest = candidate, misfits
    assert closest is not None
    try:
        closest.network()
    except CheckpointError as error:
        raise CheckpointError(f"their names are {closest.source}'s; the closest is {closest.model}: {error}") from None
    return closest


def _as_model(name: str, arrays: Mapping[str, Array], source: Source) -> tuple[Pretrained, int]:
    """Return the arrays in the shapes of a model, and the number of those that are missing, extra or do not fit."""
    with init.skipped():
        shapes = {own: value.shape for own, value in create(name, 1, **source.options).state_dict().items()}
    features = shapes["classifier.weight"][1]
    classes = max(1, arrays["classifier.weight"].size // features) if "classifier.weight" in arrays else 1
    fitted = {}
    misfits = len(shapes.keys() ^ arrays.keys())
    for own, array in arrays.items():
        shape: tuple[int, ...] = array.shape
        if own in shapes:
            shape = (classes, *shapes[own][1:]) if _is_classifier(own) else shapes[own]
        fitted[own] = _in_shape(own, array, shape, source)
        misfits += fitted[own].shape != shape
    in_order = {own: fitted[own] for own in [*shapes, *fitted] if own in fitted}
    found = Pretrained(name, in_order, source.name, classes, source.preprocessing, source.options, source.note)
    return found, misfits


def _is_classifier(name: str) -> bool:
    """Return whether the shape of this array depends on the number of classes."""
    return name.endswith(("classifier.weight", "classifier.bias"))


def _in_shape(name: str, array: Array, shape: tuple[int, ...], source: Source) -> Array:
    """Return an array in a shape that differs in sizes of 1 alone, or in the width of a squeeze; else as it is."""
    found, wanted = [n for n in array.shape if n != 1], [n for n in shape if n != 1]
    if found == wanted:
        return array.reshape(shape)
    # The authors' sknet101 squeezes to 16 values in stage 2, minisk's to 32. The channels that are added have weights
    # of 0 on both sides: they are 0, have no gradient, and stay so in training.
    is_squeeze = any(part in name for part in (".middle.fc1.", ".middle.fc1_norm.", ".middle.fc2."))
    is_narrower = len(found) == len(wanted) and all(n <= m for n, m in zip(found, wanted, strict=True))
    if source.options.get("caffe_pool") and is_squeeze and is_narrower:
        added = [(0, m - n) for n, m in zip(found, wanted, strict=True)]
        value = 1 if name.endswith("running_var") else 0
        return np.pad(array.reshape(found), added, constant_values=value).reshape(shape)
    return array
