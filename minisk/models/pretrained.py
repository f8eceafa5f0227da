"""Trained networks that come with the package, as checkpoints that training wrote."""

from pathlib import Path

from ..errors import MiniskError
from ..serialization import load_checkpoint, weights_of
from .network import Network
from .registry import create

# name → file
TRAINED = {path.stem: path for path in sorted((Path(__file__).parent / "weights").glob("*.safetensors"))}


def load(name: str) -> Network:
    """Return a trained network, in evaluation mode.

    It expects normalised images, (N, 3, H, W) of its `input_size`. To classify image files, use
    `minisk.evaluation.classifier.load_classifier(name)`, which also knows the normalization and the classes.

    Args:
        name: one of TRAINED, such as "sknet_small-cifar10".

    Raises:
        MiniskError: there is no such network.
    """
    if name not in TRAINED:
        raise MiniskError(f"no trained network {name!r}: expected one of {', '.join(TRAINED)}")
    arrays, about = load_checkpoint(TRAINED[name])
    model = create(about["config"]["model"], len(about["classes"]))
    model.load_state_dict(weights_of(arrays))
    model.eval()
    return model
