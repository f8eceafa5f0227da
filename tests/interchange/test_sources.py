"""Names of weights: samples of real names, and whole networks written under the names of each source."""

import re

import numpy as np
import pytest
from foreign_files import caffemodel, pth_of_arrays, write

import minisk as ms
from minisk import models, nn
from minisk.errors import CheckpointError, MiniskError
from minisk.interchange import SOURCES, matching_sources

# Names in files that the sources wrote, and minisk's.
SAMPLES = {
    "timm": {
        "conv1.weight": "stem.0.weight",
        "bn1.running_var": "stem.1.running_var",
        "layer1.0.conv1.conv.weight": "stages.0.0.reduce.weight",
        "layer1.0.conv2.paths.1.conv.weight": "stages.0.0.middle.convs.1.weight",
        "layer3.5.conv2.paths.0.bn.bias": "stages.2.5.middle.norms.0.bias",
        "layer2.1.conv2.attn.fc_reduce.weight": "stages.1.1.middle.fc1.weight",
        "layer2.1.conv2.attn.bn.weight": "stages.1.1.middle.fc1_norm.weight",
        "layer2.1.conv2.attn.fc_select.weight": "stages.1.1.middle.fc2.weight",
        "layer4.2.conv3.bn.running_mean": "stages.3.2.increase_norm.running_mean",
        "layer2.0.downsample.0.weight": "stages.1.0.project.weight",
        "layer2.0.conv1.paths.1.bn.weight": "stages.1.0.middle.norms.1.weight",
        "layer2.0.conv1.attn.fc_select.weight": "stages.1.0.middle.fc2.weight",
        "layer2.0.conv2.conv.weight": "stages.1.0.increase.weight",
        "layer2.3.se.fc2.bias": "stages.1.3.attention.fc2.bias",
        "fc.bias": "classifier.bias",
    },
    "torchvision": {
        "layer3.22.conv2.weight": "stages.2.22.middle.0.weight",
        "layer3.22.bn2.running_mean": "stages.2.22.middle.1.running_mean",
        "layer1.0.downsample.1.bias": "stages.0.0.project_norm.bias",
        "fc.weight": "classifier.weight",
    },
    "pytorchcv": {
        "features.init_block.conv.conv.weight": "stem.0.weight",
        "features.stage1.unit1.body.conv1.conv.weight": "stages.0.0.reduce.weight",
        "features.stage1.unit1.body.conv2.branches.branch2.conv.weight": "stages.0.0.middle.convs.0.weight",
        "features.stage4.unit3.body.conv2.branches.branch3.bn.running_var": "stages.3.2.middle.norms.1.running_var",
        "features.stage2.unit4.body.conv2.fc1.bn.bias": "stages.1.3.middle.fc1_norm.bias",
        "features.stage2.unit4.body.conv2.fc2.weight": "stages.1.3.middle.fc2.weight",
        "features.stage1.unit1.identity_conv.bn.weight": "stages.0.0.project_norm.weight",
        "features.stage2.unit1.se.conv1.weight": "stages.1.0.attention.fc1.weight",
        "output.bias": "classifier.bias",
    },
    "caffe": {
        "conv1/7x7_s2#0": "stem.0.weight",
        "conv1/7x7_s2/bn#3": "stem.1.running_var",
        "conv2_1/1x1_reduce#0": "stages.0.0.reduce.weight",
        "conv3_4/3x3g32#0": "stages.1.3.middle.convs.0.weight",
        "conv3_4/3x3g32d2/bn#1": "stages.1.3.middle.norms.1.bias",
        "conv4_23/B_fc1/bn#2": "stages.2.22.middle.fc1_norm.running_mean",
        "conv5_1/B_fc2#0": "stages.3.0.middle.fc2.weight",
        "conv5_1/1x1_proj#0": "stages.3.0.project.weight",
        "classifier#1": "classifier.bias",
    },
}
# The first entry of each source: for residual networks.
RESIDUAL = {source.name: source for source in reversed(SOURCES)}
BLOBS = {"weight": 0, "bias": 1, "running_mean": 2, "running_var": 3}
NETWORKS = [
    (source, model)
    for source in RESIDUAL
    for model in ("skresnet18", "resnext50", "seresnext50", "sknet50")
    if model in RESIDUAL[source].models
]


@pytest.mark.parametrize(("source", "theirs"), [(s, name) for s, names in SAMPLES.items() for name in names])
def test_a_real_name_becomes_minisks(source, theirs):
    assert RESIDUAL[source].new_name(theirs) == SAMPLES[source][theirs]


@pytest.mark.parametrize("name", ["layer1.0.se.fc3.weight", "layer1.x.conv1.weight", "layer1234.0.conv1.weight", "fc"])
def test_a_name_without_a_rule_stays(name):
    assert RESIDUAL["timm"].new_name(name) is None
    assert list(RESIDUAL["timm"].rename({name: 1})) == [name]


def test_two_names_for_one_weight_are_an_error():
    with pytest.raises(CheckpointError, match=r"two arrays become stages\.0\.0\.reduce\.weight|'stages\.0\.0\.reduce"):
        RESIDUAL["timm"].rename({"layer1.0.conv1.weight": 1, "layer1.0.conv1.conv.weight": 2})


@pytest.mark.parametrize(
    ("model", "theirs", "ours"),
    [
        ("dpn92", "features.conv1_1.bn.bias", "stem.1.bias"),
        ("dpn92", "features.conv2_1.c1x1_w_s1.conv.weight", "units.0.project.conv.weight"),
        ("dpn92", "features.conv3_1.c1x1_w_s2.bn.weight", "units.3.project.norm.weight"),
        ("dpn92", "features.conv4_1.c1x1_a.bn.weight", "units.7.reduce.norm.weight"),
        ("dpn98", "features.conv4_1.c3x3_b.conv.weight", "units.9.spatial.conv.weight"),
        ("dpn98", "features.conv5_3.c1x1_c.conv.weight", "units.31.increase.conv.weight"),
        ("dpn98", "features.conv5_bn_ac.bn.running_var", "norm.running_var"),
        ("dpn98", "classifier.weight", "classifier.weight"),
    ],
)
def test_units_of_dual_path_networks_are_counted_through(model, theirs, ours):
    (source,) = [source for source in SOURCES if model in source.models]
    assert source.new_name(theirs) == ours


@pytest.mark.parametrize(
    ("source", "model", "theirs", "ours"),
    [
        ("timm", "inception_v4", "features.4.branch1.2.conv.weight", "stem.2.1.2.conv.weight"),
        ("timm", "inception_v4", "features.9.branch3.1.bn.bias", "units_a.3.3.1.norm.bias"),
        ("timm", "inception_v4", "features.17.branch0.conv.weight", "units_b.6.0.conv.weight"),
        ("timm", "inception_v4", "features.21.branch2_3b.bn.running_var", "units_c.2.2.1.1.norm.running_var"),
        ("timm", "inception_v4", "last_linear.bias", "classifier.bias"),
        ("timm", "inception_resnet_v2", "repeat_1.19.branch1.2.bn.weight", "blocks_17.19.branches.1.2.norm.weight"),
        ("timm", "inception_resnet_v2", "repeat_2.0.conv2d.bias", "blocks_8.0.up.bias"),
        ("timm", "inception_resnet_v2", "block8.branch0.conv.weight", "blocks_8.9.branches.0.conv.weight"),
        ("timm", "inception_resnet_v2", "conv2d_7b.bn.bias", "conv_7b.norm.bias"),
        ("torchvision", "inception_v3", "Mixed_5d.branch3x3dbl_3.conv.weight", "units_a.2.2.2.conv.weight"),
        ("torchvision", "inception_v3", "Mixed_6a.branch3x3.bn.bias", "unit_b.0.norm.bias"),
        ("torchvision", "inception_v3", "Mixed_7a.branch7x7x3_4.bn.weight", "unit_d.1.3.norm.weight"),
        ("torchvision", "inception_v3", "AuxLogits.fc.weight", "auxiliary.classifier.weight"),
        ("timm", "inception_v3", "Mixed_7c.branch3x3_2b.conv.weight", "units_e.1.1.1.1.conv.weight"),
    ],
)
def test_a_real_name_of_an_inception_becomes_minisks(source, model, theirs, ours):
    (entry,) = [entry for entry in SOURCES if entry.name == source and model in entry.models]
    assert entry.new_name(theirs) == ours


@pytest.mark.parametrize("entry", SOURCES, ids=lambda entry: f"{entry.name}-{entry.models[0]}")
def test_the_rules_of_an_entry_reach_every_module_of_its_models(entry):
    """Every module with arrays is the target of a rule; {name} in a target stands for whole numbers."""
    targets = [ours for _, ours in entry.modules] + [f"stages.{{stage}}.{{unit}}.{ours}" for _, ours in entry.parts]
    expressions = [re.compile(re.sub(r"\\\{\w+\\\}", r"\\d+", re.escape(target))) for target in targets]
    for model in entry.models:
        with nn.init.skipped():
            names = models.create(model, 2, **entry.options).state_dict()
        for module in {name.rpartition(".")[0] for name in names}:
            assert any(expression.fullmatch(module) for expression in expressions), module


def test_each_source_is_found_by_its_names():
    for source in ("timm", "pytorchcv", "caffe"):
        assert matching_sources(list(SAMPLES[source]))[0].name == source
    # The project of CBAM names a network without attention as torchvision does: its entries come last.
    assert [found.name for found in matching_sources(list(SAMPLES["torchvision"]))][:2] == ["timm", "torchvision"]
    assert matching_sources(["stem.0.weight", "classifier.weight"]) == []


def their_names(source, model, own_names):
    """Return the source's name for each name of minisk's, by its rules read backwards."""
    rules = {ours: theirs for theirs, ours in reversed(source.modules)}
    own_parts = [(theirs, ours) for theirs, ours in source.parts if fits(source, model, theirs)]
    part_rules = {ours: theirs for theirs, ours in reversed(own_parts)}
    first = source.first
    for name in own_names:
        module, _, leaf = name.rpartition(".")
        if module in rules:
            yield rules[module], leaf
            continue
        _, stage, unit, part = module.split(".", 3)
        head, _, last = part.rpartition(".")
        branch = int(last) + first.get("branch", 0) if last.isdigit() else None
        template = part_rules.get(part) or part_rules[f"{head}.{{branch}}"]
        numbers = {"stage": int(stage) + first["stage"], "unit": int(unit) + first.get("unit", 0), "branch": branch}
        yield (source.unit + template).format(**numbers), leaf


def fits(source, model, part):
    """Return whether this spelling of timm is used in a model: conv1 and conv2 have a role that depends on the unit."""
    if source.name not in ("timm", "torchvision"):
        return True
    if "downsample" in part or "se.fc" in part:
        return True
    has_suffix = "." in part
    if model in ("resnext50", "seresnext50"):
        return not has_suffix
    selective = {"sknet50": "conv2.", "skresnet18": "conv1."}[model]
    is_selective = "paths" in part or "attn" in part
    return has_suffix and (part.startswith(selective) == is_selective)


def randomized(model):
    """Return a network whose every array is drawn, in evaluation mode."""
    draw = np.random.default_rng(3)
    for name, value in model.state_dict().items():
        values = draw.standard_normal(value.shape) * (2 / max(1, value.size // len(value))) ** 0.5
        value.data[...] = 1 + 0.1 * values if value.ndim == 1 and not name.endswith(("bias", "mean")) else 0.5 * values
        if name.endswith("running_var"):
            value.data[...] = np.abs(value.data)
    return model.eval()


def write_as(source, model, network, folder):
    """Write a network as a file of the source, and return its path."""
    arrays = {name: value.data for name, value in network.state_dict().items()}
    names = list(their_names(RESIDUAL[source], model, arrays))
    if source != "caffe":
        state = {f"{module}.{leaf}": array for (module, leaf), array in zip(names, arrays.values(), strict=True)}
        return write(folder, "x.pth", pth_of_arrays(state, lambda s: {"state_dict": s}))
    layers = {}
    for (layer, leaf), array in zip(names, arrays.values(), strict=True):
        is_norm = layer.endswith("/bn")
        layers.setdefault(layer, {})[BLOBS[leaf]] = array.reshape(1, -1, 1, 1) if is_norm else array
    ordered = {layer: [blobs[i] for i in sorted(blobs)] for layer, blobs in layers.items()}
    return write(folder, "x.caffemodel", caffemodel(ordered))


def logits(network, dtype):
    x = np.random.default_rng(4).standard_normal((1, 3, 65, 65)).astype(dtype)
    with ms.no_grad():
        return network(ms.tensor(x)).numpy()


@pytest.mark.parametrize(("source", "model"), NETWORKS)
def test_a_network_under_the_names_of_a_source_returns_the_same_logits(tmp_path, source, model):
    network = randomized(models.create(model, 7, **RESIDUAL[source].options))
    found = models.read_pretrained(write_as(source, model, network, tmp_path), source=source)
    assert (found.model, found.source, found.classes) == (model, source, 7)
    assert found.options == ({"caffe_pool": True} if source == "caffe" else {})
    np.testing.assert_array_equal(logits(found.network(), np.float32), logits(network, np.float32))


def narrow_squeeze(unit, stride):
    unit.middle = models.SKConv(256, L=16, stride=stride)


def test_a_narrower_squeeze_of_the_authors_becomes_minisks_with_the_same_logits(tmp_path):
    network = models.create("sknet50", 7, caffe_pool=True)
    for i, unit in enumerate(network.stages[1]):
        narrow_squeeze(unit, 2 if i == 0 else 1)
    randomized(network).to(dtype="float64")
    found = models.read_pretrained(write_as("caffe", "sknet50", network, tmp_path))
    assert found.arrays["stages.1.0.middle.fc1.weight"].shape == (32, 256, 1, 1)
    wide = models.create("sknet50", 7, caffe_pool=True).to(dtype="float64").eval()
    wide.load_state_dict(found.arrays)
    expected = logits(network, np.float64)
    np.testing.assert_allclose(logits(wide, np.float64), expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    # The channels that were added have no gradient, so training leaves them at 0.
    unit = wide.stages[1][1].middle
    x = ms.tensor(np.random.default_rng(5).standard_normal((4, 256, 6, 6)))
    unit.train()
    (unit(x) ** 2).sum().backward()
    added = [unit.fc1.weight.grad[16:], unit.fc2.weight.grad[:, 16:], unit.fc1_norm.weight.grad[16:]]
    assert all(not gradient.numpy().any() for gradient in added)
    assert unit.fc1.weight.grad[:16].numpy().any()


def test_an_unknown_source_is_an_error(tmp_path):
    path = write(tmp_path, "x.pth", pth_of_arrays({"fc.weight": np.ones((2, 3), np.float32)}))
    with pytest.raises(MiniskError, match=r"source 'keras' is not known: expected one of minisk, timm, torchvision"):
        models.read_pretrained(path, source="keras")
