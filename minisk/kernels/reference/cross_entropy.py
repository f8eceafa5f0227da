"""Cross entropy of rows, and its gradient. logits x and target q (the share of each class): (N, K).

loss[n] = -Σ_k q[n,k] · log_softmax(x)[n,k]          dx = (softmax(x) · Σ q - q) · dloss / N
"""

from ...backend import Array, array_module
from .precision import narrow, precise_sum, widen
from .softmax import log_softmax, softmax


def cross_entropy(logits: Array, target: Array) -> Array:
    """Return the loss of each row, (N,); float32 for float16 logits."""
    # log p may be -inf where the target is 0, and 0 · -inf must count as 0.
    log_p = array_module(logits).where(target != 0, log_softmax(widen(logits), 1), 0)
    return -precise_sum(widen(target) * log_p, (1,))


def cross_entropy_grad(dloss: Array, logits: Array, target: Array) -> Array:
    """Return the gradient of the logits, (N, K), from that of the mean loss, ()."""
    q = widen(target)
    # The shares of a row usually sum to 1, but they need not.
    dlogits = softmax(widen(logits), 1) * precise_sum(q, (1,), keepdims=True) - q
    return narrow(dlogits * (widen(dloss) / len(logits)), like=logits)
