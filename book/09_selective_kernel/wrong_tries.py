"""Typical wrong tries of exercise 9, as changes of the kept solution."""

from book.answers import Try

TRIES = [
    Try("padding 1 for every dilation", {"padding=d, ": "padding=1, "}, "needs padding d"),
    Try("a softmax over channels", {"softmax(logits, axis=1)": "softmax(logits, axis=2)"}, "runs over the channels"),
    Try("a sigmoid for each branch", {"ops.softmax(logits, axis=1)": "ops.sigmoid(logits)"}, "do not add up to 1"),
    Try("the squeeze of one branch", {"total = total + feature": "pass"}, "first branch only"),
    Try("the squeeze of the last branch", {"total = total + feature": "total = feature"}, "last branch only"),
    Try("the squeeze of x", {"total.mean((2, 3))": "x.mean((2, 3))"}, "sees x"),
    Try("the sum of each plane", {"total.mean((2, 3))": "total.sum((2, 3))"}, "sum of each plane"),
    Try(
        "the mean of the branches", {"total.mean((2, 3))": "total.mean((2, 3)) / len(features)"}, "the paper their sum"
    ),
    Try(
        "one norm for all branches", {"[norm(conv(x)) for": "[self.norms[0](conv(x)) for"}, "Every branch uses norms[0]"
    ),
    Try("branches without batch norm", {"[norm(conv(x)) for": "[ops.relu(conv(x)) for"}, "skip their batch norms"),
    Try(
        "neither batch norm nor ReLU in the squeeze",
        {"self.norm(squeeze.reshape(n, width, 1, 1)).reshape(n, width)": "squeeze"},
        "batch norm and ReLU",
    ),
    Try("returns V and the attention", {"        return out": "        return out, attention"}, "returns tuple"),
    Try("forgets the return", {"        return out": "        out"}, "returns nothing"),
    Try("keeps an array", {"attention.detach()": "attention.numpy()"}, "a Tensor (N, M, C)"),
    Try(
        "the statistics of the batch in evaluation mode too",
        {
            "z = self.norm(squeeze.reshape(n, width, 1, 1)).reshape(n, width)": (
                "z = (squeeze - squeeze.mean(0)) / (squeeze.var(0) + 1e-5) ** 0.5\n"
                "        z = ops.relu(z * self.norm.weight + self.norm.bias)"
            )
        },
        "not in evaluation mode",
    ),
    Try("the maximum of each plane", {"total.mean((2, 3))": "total.max((2, 3))"}, "the paper its mean"),
    Try(
        "no batch norm in the squeeze",
        {"self.norm(squeeze.reshape(n, width, 1, 1)).reshape(n, width)": "ops.relu(squeeze)"},
        "skips its batch norm",
    ),
    Try(
        "fc2's result as (N, C, M)",
        {
            "self.fc2(z).reshape(n, len(features), x.shape[1])": (
                "self.fc2(z).reshape(n, x.shape[1], len(features)).transpose(0, 2, 1)"
            )
        },
        "is read as (C, M)",
    ),
    Try("does not keep the attention", {"self.attention = attention.detach()": "pass"}, "does not hold the weights"),
    Try("a constant attention", {"out = 0": "out, attention = 0, attention.detach()"}, "a gradient is not"),
    Try("counts one branch", {"32 * 3 * 64": "32 * 64"}, "one logit for each"),
]
