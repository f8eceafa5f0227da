"""Names of weights: for each source, which of its modules is which module of minisk.

    timm       layer1.0.conv2.paths.1.bn.weight                          stages.0.0.middle.norms.1.weight
    pytorchcv  features.stage1.unit1.body.conv2.branches.branch3.bn.…    stages.0.0.middle.norms.1.…
    Caffe      conv2_1/3x3g32d2/bn#0                                     stages.0.0.middle.norms.1.weight

A rule names a module of the source and minisk's. The last part of a name, such as "weight", stays. A source that counts
from 1 gives this number in `first`; {stage}, {unit} and {branch} stand for whole numbers.

To add a source, or a model that it has, add its rules below, and an entry to SOURCES.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ..backend import Array
from ..errors import CheckpointError
from .attention import CBAM_PARTS, NOT_USED, bam_modules, residual_attention_modules
from .inception import inception_resnet_v2_modules, inception_v3_modules, inception_v4_modules


@dataclass(frozen=True)
class Preprocessing:
    """What a source does to a photograph before its networks see it.

    Attributes:
        mean, std: of each channel, for pixels in 0 … 1.
        crop: the side of the central square that is used, divided by the shorter side of the photograph.
        interpolation: of the resize, "bilinear" or "bicubic".
    """

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    crop: float = 0.875
    interpolation: str = "bicubic"


@dataclass(frozen=True)
class Source:
    """The names that one project gives to the parts of its networks of one kind.

    Attributes:
        name: of the project.
        models: minisk's names of these networks.
        modules: (its module, minisk's module), for all outside of the units.
        unit: how its units begin; minisk's begin with "stages.{stage}.{unit}.".
        parts: (its module, minisk's module), inside a unit.
        first: the first stage, unit and branch, in its counting.
        preprocessing: of its published weights, unless a file says otherwise.
        options: of minisk's models, for the same results. With caffe_pool, squeezes may be narrower than minisk's.
        note: what someone who uses its weights must know.
    """

    name: str
    models: tuple[str, ...]
    modules: Sequence[tuple[str, str]] = ()
    unit: str = ""
    parts: Sequence[tuple[str, str]] = ()
    first: Mapping[str, int] = field(default_factory=dict)
    preprocessing: Preprocessing = Preprocessing()
    options: Mapping[str, bool] = field(default_factory=dict)
    note: str = ""

    def rename(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Return the arrays under minisk's names. A name without a rule stays; arrays that are not used are left out.

        Raises:
            CheckpointError: two arrays get one name.
        """
        renamed: dict[str, Array] = {}
        for name, array in arrays.items():
            new_name = self.new_name(name)
            if new_name == NOT_USED:
                continue
            new_name = new_name or name
            if new_name in renamed:
                raise CheckpointError(f"two arrays become {new_name[:80]!r}; the second is {name[:80]!r}")
            renamed[new_name] = array
        return renamed

    def new_name(self, name: str) -> str | None:
        """Return minisk's name for a name of this source; NOT_USED if minisk lacks it; None if no rule fits."""
        module, _, leaf = _as_torch_does(name).rpartition(".")
        for pattern, target in self._patterns:
            match = pattern.fullmatch(module)
            if match is not None:
                numbers = {key: int(text) - self.first.get(key, 0) for key, text in match.groupdict().items()}
                return f"{target.format(**numbers)}.{leaf}" if target != NOT_USED else NOT_USED
        return None

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], str]]:
        in_units = [(self.unit + theirs, "stages.{stage}.{unit}." + ours) for theirs, ours in self.parts]
        return [(_pattern(theirs), ours) for theirs, ours in [*self.modules, *in_units]]


def _pattern(template: str) -> re.Pattern[str]:
    """Return the expression for a template: {stage} becomes a group of that name, for up to three digits."""
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\d{1,3})", re.escape(template)))


# Blobs of a Caffe layer, in order. A convolution has the first or the first two, CuDNNBatchNorm has all four.
_BLOBS = {"#0": ".weight", "#1": ".bias", "#2": ".running_mean", "#3": ".running_var"}


def _as_torch_does(name: str) -> str:
    """Return a name whose last part is a word: "conv1/bn#2" of a .caffemodel becomes "conv1/bn.running_mean"."""
    return name[:-2] + _BLOBS[name[-2:]] if name[-2:] in _BLOBS else name


_TORCHVISION_MODULES = (("conv1", "stem.0"), ("bn1", "stem.1"), ("fc", "classifier"))
_TORCHVISION_PARTS = (
    ("conv1", "reduce"),
    ("bn1", "reduce_norm"),
    ("conv2", "middle.0"),
    ("bn2", "middle.1"),
    ("conv3", "increase"),
    ("bn3", "increase_norm"),
    ("downsample.0", "project"),
    ("downsample.1", "project_norm"),
)
# In skresnext50 the selective kernel is conv2, after a reduction; in skresnet18 and 34 it is conv1.
_TIMM_PARTS = (
    *_TORCHVISION_PARTS,
    ("conv1.conv", "reduce"),
    ("conv1.bn", "reduce_norm"),
    *(
        (f"{kernel}.{theirs}", f"middle.{ours}")
        for kernel in ("conv1", "conv2")
        for theirs, ours in (
            ("paths.{branch}.conv", "convs.{branch}"),
            ("paths.{branch}.bn", "norms.{branch}"),
            ("attn.fc_reduce", "fc1"),
            ("attn.bn", "fc1_norm"),
            ("attn.fc_select", "fc2"),
        )
    ),
    ("conv2.conv", "increase"),
    ("conv2.bn", "increase_norm"),
    ("conv3.conv", "increase"),
    ("conv3.bn", "increase_norm"),
    ("se.fc1", "attention.fc1"),
    ("se.fc2", "attention.fc2"),
)
_PYTORCHCV_PARTS = (
    ("body.conv1.conv", "reduce"),
    ("body.conv1.bn", "reduce_norm"),
    ("body.conv2.conv", "middle.0"),
    ("body.conv2.bn", "middle.1"),
    ("body.conv2.branches.branch{branch}.conv", "middle.convs.{branch}"),
    ("body.conv2.branches.branch{branch}.bn", "middle.norms.{branch}"),
    ("body.conv2.fc1.conv", "middle.fc1"),
    ("body.conv2.fc1.bn", "middle.fc1_norm"),
    ("body.conv2.fc2", "middle.fc2"),
    ("body.conv3.conv", "increase"),
    ("body.conv3.bn", "increase_norm"),
    ("se.conv1", "attention.fc1"),
    ("se.conv2", "attention.fc2"),
    ("identity_conv.conv", "project"),
    ("identity_conv.bn", "project_norm"),
)
_CAFFE_PARTS = (
    ("1x1_reduce", "reduce"),
    ("1x1_reduce/bn", "reduce_norm"),
    ("3x3g32", "middle.convs.0"),
    ("3x3g32/bn", "middle.norms.0"),
    ("3x3g32d2", "middle.convs.1"),
    ("3x3g32d2/bn", "middle.norms.1"),
    ("B_fc1", "middle.fc1"),
    ("B_fc1/bn", "middle.fc1_norm"),
    ("B_fc2", "middle.fc2"),
    ("1x1_increase", "increase"),
    ("1x1_increase/bn", "increase_norm"),
    ("1x1_proj", "project"),
    ("1x1_proj/bn", "project_norm"),
)


def _dual_path_modules(units: Sequence[int]) -> Sequence[tuple[str, str]]:
    """Return the rules for a dual path network with so many units in each stage. minisk counts them through."""
    parts = (
        ("c1x1_w_s1", "project"),
        ("c1x1_w_s2", "project"),
        ("c1x1_a", "reduce"),
        ("c3x3_b", "spatial"),
        ("c1x1_c", "increase"),
    )
    rules = [
        ("features.conv1_1.conv", "stem.0"),
        ("features.conv1_1.bn", "stem.1"),
        ("features.conv5_bn_ac.bn", "norm"),
        ("classifier", "classifier"),
    ]
    position = 0
    for stage, count in enumerate(units, start=2):
        for unit in range(1, count + 1):
            for theirs, ours in parts:
                begin = f"features.conv{stage}_{unit}.{theirs}"
                rules += [(f"{begin}.bn", f"units.{position}.{ours}.norm")]
                rules += [(f"{begin}.conv", f"units.{position}.{ours}.conv")]
            position += 1
    return rules


# (pixel - (124, 117, 104)) · 0.0167, of pixels in 0 … 255
_DUAL_PATH_PIXELS = Preprocessing((124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3)

# Pixels in -1 … 1
_AROUND_ZERO = Preprocessing((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

# An entry for each kind of network of a source; entries may share a name.
SOURCES: tuple[Source, ...] = (
    Source(
        "timm",
        ("sknet50", "skresnet18", "skresnet34", "resnext50", "resnext101", "seresnext50", "seresnext101"),
        _TORCHVISION_MODULES,
        "layer{stage}.{unit}.",
        _TIMM_PARTS,
        {"stage": 1},
    ),
    Source("timm", ("dpn92",), _dual_path_modules((3, 4, 20, 3)), preprocessing=_DUAL_PATH_PIXELS),
    Source("timm", ("dpn98",), _dual_path_modules((3, 6, 20, 3)), preprocessing=_DUAL_PATH_PIXELS),
    Source("timm", ("inception_v4",), inception_v4_modules(), preprocessing=_AROUND_ZERO),
    Source(
        "timm",
        ("inception_v3",),
        inception_v3_modules(),
        first={"position": 1},
        preprocessing=_AROUND_ZERO,
        options={"count_include_pad": True, "auxiliary": False},
    ),
    Source(
        "timm",
        ("inception_resnet_v2",),
        inception_resnet_v2_modules(),
        preprocessing=replace(_AROUND_ZERO, crop=0.8975),
    ),
    Source(
        "torchvision",
        ("resnext50", "resnext101"),
        _TORCHVISION_MODULES,
        "layer{stage}.{unit}.",
        _TORCHVISION_PARTS,
        {"stage": 1},
        Preprocessing(interpolation="bilinear"),
    ),
    Source(  # the published weights of v3 average over the padding too
        "torchvision",
        ("inception_v3",),
        inception_v3_modules(),
        first={"position": 1},
        preprocessing=replace(_AROUND_ZERO, interpolation="bilinear"),
        options={"count_include_pad": True},
    ),
    Source(
        "pytorchcv",
        ("sknet50", "sknet101", "resnext50", "resnext101", "seresnext50", "seresnext101"),
        (
            ("features.init_block.conv.conv", "stem.0"),
            ("features.init_block.conv.bn", "stem.1"),
            ("output", "classifier"),
        ),
        "features.stage{stage}.unit{unit}.",
        _PYTORCHCV_PARTS,
        {"stage": 1, "unit": 1, "branch": 2},
        Preprocessing(interpolation="bilinear"),
    ),
    Source(
        "caffe",
        ("sknet50", "sknet101"),
        (("conv1/7x7_s2", "stem.0"), ("conv1/7x7_s2/bn", "stem.1"), ("classifier", "classifier")),
        "conv{stage}_{unit}/",
        _CAFFE_PARTS,
        {"stage": 2, "unit": 1},
        Preprocessing(interpolation="bilinear"),
        options={"caffe_pool": True},
        note="the authors state neither the pixels' scale nor the order of the channels: ImageNet's mean and "
        "deviation, red first, are assumed",
    ),
    Source(
        "attention-module",
        ("resnet50_cbam", "resnext50_cbam", "resnext101_cbam"),
        _TORCHVISION_MODULES,
        "layer{stage}.{unit}.",
        (*_TORCHVISION_PARTS, *CBAM_PARTS),
        {"stage": 1},
        Preprocessing(interpolation="bilinear"),
    ),
    *[
        Source(
            "attention-module",
            models,
            (*_TORCHVISION_MODULES, *bam_modules(units)),
            "layer{stage}.{unit}.",
            _TORCHVISION_PARTS,
            {"stage": 1},
            Preprocessing(interpolation="bilinear"),
        )
        for models, units in ((("resnet50_bam", "resnext50_bam"), (3, 4, 6)), (("resnext101_bam",), (3, 4, 23)))
    ],
    *[
        Source(
            "ResidualAttentionNetwork-pytorch",
            (model,),
            residual_attention_modules(modules),
            preprocessing=Preprocessing(interpolation="bilinear"),
            options={"caffe_pool": False, "extra_sums": True},
        )
        for model, modules in (("attention56", (1, 1, 1)), ("attention92", (1, 2, 3)))
    ],
)
SOURCE_NAMES = tuple(dict.fromkeys(source.name for source in SOURCES))


def matching_sources(names: Sequence[str]) -> list[Source]:
    """Return the sources that have a rule for at least nine tenths of the names; the best first."""
    found = []
    for source in SOURCES:
        known = sum(source.new_name(name) is not None for name in names)
        if 10 * known >= 9 * len(names):
            found.append((known, source))
    return [source for _, source in sorted(found, key=lambda pair: -pair[0])]
