"""The check of exercise 9."""

import numpy as np

import minisk as ms
from book.answers import Wrong
from minisk import ops

CHANNELS, DILATIONS, WIDTH = 4, (1, 2, 3), 5


def formula(layer, x, mistake=""):
    """Return V of the paper's formula for the layer's own weights, and the attention; or with one typical mistake."""
    norms = [layer.norms[0]] * len(layer.norms) if mistake == "one norm" else layer.norms
    if mistake == "no norms":
        norms = [ops.relu for _ in norms]
    features = [norm(conv(x)) for conv, norm in zip(layer.convs, norms, strict=True)]
    fused = {"first branch only": features[:1], "last branch only": features[-1:], "of x": [x]}.get(mistake, features)
    total = sum((feature.numpy() for feature in fused[1:]), fused[0].numpy())
    pooled = total.max((2, 3)) if mistake == "maximum" else total.mean((2, 3))
    pooled = pooled * {"sums": total[0, 0].size, "mean of branches": 1 / len(features)}.get(mistake, 1)
    squeeze = layer.fc1(ms.tensor(pooled)).reshape(len(pooled), WIDTH, 1, 1)
    z = {"no batch norm": ops.relu, "linear": lambda z: z}.get(mistake, layer.norm)(squeeze)
    logits = layer.fc2(z.reshape(len(pooled), WIDTH)).numpy()
    if mistake == "branches last":
        logits = logits.reshape(len(pooled), CHANNELS, len(features)).transpose(0, 2, 1)
    else:
        logits = logits.reshape(len(pooled), len(features), CHANNELS)
    if mistake == "sigmoid":
        attention = 1 / (1 + np.exp(-logits))
    else:
        attention = ops.softmax(ms.tensor(logits), axis=2 if mistake == "over channels" else 1).numpy()
    out = sum(attention[:, m, :, None, None] * feature.numpy() for m, feature in enumerate(features))
    return out, attention


SENTENCES = {
    "over channels": "The softmax runs over the channels: in each channel the "
    "branches compete, so its axis is that of M.",
    "sigmoid": "The weights of a channel do not add up to 1: a sigmoid weighs each "
    "branch alone, a softmax lets them compete.",
    "first branch only": "The squeeze sees the first branch only: it is computed from the sum of all branches.",
    "last branch only": "The squeeze sees the last branch only: it is computed from the sum of all branches.",
    "of x": "The squeeze sees x: it is computed from the sum of the branches.",
    "sums": "The squeeze uses the sum of each plane, the paper its mean.",
    "mean of branches": "The squeeze uses the mean of the branches, the paper their sum.",
    "one norm": "Every branch uses norms[0]: each branch has a norm of its own.",
    "no norms": "The branches skip their batch norms: U_m = ReLU(BN(conv_m(x))), with `norms`.",
    "linear": "The squeeze skips its batch norm and ReLU: z = ReLU(BN(fc1 · …)), and "
    "`norm` wants the shape (N, width, 1, 1).",
    "maximum": "The squeeze uses the maximum of each plane, the paper its mean.",
    "no batch norm": "The squeeze skips its batch norm: z = ReLU(BN(fc1 · …)), and "
    "`norm` wants the shape (N, width, 1, 1).",
    "branches last": "fc2's result is read as (C, M): the first C of its M·C numbers "
    "belong to branch 0, so reshape to (N, M, C).",
}


def check(answer):
    check_prediction(answer.get("PREDICTION"))
    SelectiveKernel = answer.get("SelectiveKernel")
    ms.manual_seed(9)
    layer = SelectiveKernel(CHANNELS, DILATIONS, WIDTH).to(dtype="float64")
    random = np.random.default_rng(9)
    x = ms.tensor(random.standard_normal((3, CHANNELS, 7, 6)))
    for parameter in (layer.fc1.weight, layer.fc2.weight):  # large enough that the choice differs
        parameter.data[...] = random.standard_normal(parameter.shape)
    for norm in (*layer.norms, layer.norm):
        norm.weight.data[...] = 1 + random.random(norm.weight.shape)
    for conv in layer.convs:
        size = conv(x).shape
        if size != x.shape:
            raise Wrong(f"A branch returns {size} for x {x.shape}: with dilation d a 3 × 3 kernel needs padding d.")
    check_attention(layer, x, check_result(layer, x))
    check_gradient(layer, random.standard_normal((3, CHANNELS, 3, 3)))


def check_result(layer, x):
    """Return the attention of the formula, for the same x."""
    out = layer(x)
    if not isinstance(out, ms.Tensor):
        raise Wrong(
            f"`forward` returns {'nothing' if out is None else type(out).__name__}: it must return the Tensor V."
        )
    out = out.numpy()
    right, attention = formula(layer, x)
    if out.shape != right.shape:
        raise Wrong(f"The result has shape {out.shape}, expected that of x, {right.shape}.")
    if not np.allclose(out, right, rtol=1e-8):
        for mistake, sentence in SENTENCES.items():
            if np.allclose(out, formula(layer, x, mistake)[0], rtol=1e-8):
                raise Wrong(sentence)
        raise Wrong(
            f"The result differs from Σ a_m · U_m by {np.abs(out - right).max():.1e}: check each line with the text."
        )
    return attention


def check_attention(layer, x, attention):
    kept = layer.attention
    if not isinstance(kept, ms.Tensor) or kept.shape != attention.shape or not np.allclose(kept.numpy(), attention):
        raise Wrong(
            "The result is right, but `attention` does not hold the weights, a Tensor (N, M, C), after a forward."
        )
    layer.eval()
    if not np.allclose(layer(x).numpy(), formula(layer, x)[0], rtol=1e-8):
        raise Wrong("The result is right in training, but not in evaluation mode: let `norm` and `norms` normalise.")
    layer.train()


def check_gradient(layer, inputs):
    try:
        ms.gradcheck(layer, [inputs], mode="fast")
    except ms.GradcheckError:
        raise Wrong(
            "The result is right, but a gradient is not: compute with Tensors throughout, without `.numpy()`, `.data` "
            "or `.detach()` on the way."
        ) from None


def check_prediction(prediction):
    if prediction is None:
        raise Wrong("First predict the number of weights: replace the None of PREDICTION.")
    if prediction != 32 * 3 * 64:
        raise Wrong(
            f"PREDICTION is {prediction}: fc2 maps the squeeze, 32 numbers, to one logit for each of 3 × 64 weights."
        )
