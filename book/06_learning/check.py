"""The check of exercise 6."""

import math

import numpy as np

import minisk as ms
from book.answers import Wrong

STEPS = 10
CLOSE = 1e-12


def check(answer):
    (limit,) = answer.predictions("LIMIT")
    sgd, cosine = answer.get("SGD"), answer.get("cosine")
    check_plain(sgd)
    check_momentum(sgd)
    check_decay(sgd)
    check_two_parameters(sgd)
    check_changing_rate(sgd)
    check_counted(sgd)
    check_schedule(cosine)
    check_ten_steps(sgd, cosine)
    check_prediction(limit)


def weights_after(sgd, gradients, start=1.0, rates=None, **settings):
    """Return one weight after each step with these gradients."""
    p = ms.tensor(np.array([start]), requires_grad=True)
    optimizer, seen = sgd([p], **{"lr": 1.0, **settings}), []
    for i, gradient in enumerate(gradients):
        p.grad = None if gradient is None else ms.tensor(np.array([gradient]))
        if rates is not None:
            optimizer.lr = rates[i]
        optimizer.step()
        if gradient is not None and p.grad is not None and p.grad.item() != gradient:
            raise Wrong(
                "`step` changes p.grad itself: compute g as a new array, since the gradient belongs to the caller."
            )
        seen.append(p.item())
    return np.array(seen)


def check_plain(sgd):
    (after,) = weights_after(sgd, [2.0], lr=0.1)
    if after == 1:
        raise Wrong(
            "After a step with gradient 2 and lr 0.1 the weight is still 1: change the parameter in place, p -= …."
        )
    if abs(after - 1.2) < CLOSE:
        raise Wrong("A step with a positive gradient makes the weight larger: move against the gradient.")
    if abs(after - 0.8) > CLOSE:
        raise Wrong(
            f"A first step from 1 with gradient 2 and lr 0.1 must end at 0.8, not {after:g}; the first velocity is 0."
        )
    try:
        skipped = weights_after(sgd, [None, 2.0], lr=0.1)
    except (AttributeError, TypeError) as error:
        raise Wrong(
            f"`step` with a gradient that is None raises {type(error).__name__}: such a parameter must stay as it is."
        ) from None
    if skipped[0] != 1:
        raise Wrong("A parameter whose grad is None must stay as it is.")
    p, q = (ms.tensor(np.array([1.0]), requires_grad=True) for _ in range(2))
    q.grad = ms.tensor(np.array([2.0]))
    sgd([p, q], lr=0.1).step()
    if q.item() == 1:
        raise Wrong("After a parameter whose grad is None the others stay too: skip that one only, by `continue`.")


def check_momentum(sgd):
    after = weights_after(sgd, [1.0, 1.0, 1.0], momentum=0.5)
    # Velocities 1, 1.5, 1.75.
    if np.allclose(after, [0.0, -1.0, -2.0]):
        raise Wrong("Three equal gradients give three equal steps: the velocity is not kept from step to step.")
    if np.allclose(after, [0.5, -0.25, -1.125]) or np.allclose(after, [0.5, -0.25, -1.125]):
        raise Wrong("The gradient enters with the factor 1 − momentum, but here v ← momentum·v + g.")
    if np.abs(after - [0.0, -1.5, -3.25]).max() > CLOSE:
        raise Wrong(
            f"With momentum 0.5 and gradients 1, 1, 1 the weight goes to 0, −1.5, −3.25, but yours to {after.tolist()}."
        )


def check_decay(sgd):
    after = weights_after(sgd, [0.0, 0.0], start=8.0, momentum=0.5, weight_decay=0.5)
    # g = 4, v = 4, w = 4; g = 2, v = 4, w = 0.
    if np.allclose(after, 8):
        raise Wrong("Weight decay has no effect: g = grad + weight_decay·w.")
    if np.allclose(after, [4.0, 2.0]):
        raise Wrong("Weight decay does not go through the velocity: add it to g before v is computed.")
    if after[0] > 8:
        raise Wrong("Weight decay pushes the weight away from 0: it is added to the gradient, not subtracted.")
    if np.abs(after - [4.0, 0.0]).max() > CLOSE:
        raise Wrong(
            f"From 8 with gradient 0, momentum 0.5 and decay 0.5 the weight goes to 4, 0, but yours to {after.tolist()}."
        )


def check_two_parameters(sgd):
    p, q = (ms.tensor(np.array([0.0]), requires_grad=True) for _ in range(2))
    optimizer = sgd([p, q], lr=1.0, momentum=0.5)
    for _ in range(2):
        p.grad, q.grad = ms.tensor(np.array([1.0])), ms.tensor(np.array([-1.0]))
        optimizer.step()
    if abs(p.item() + 2.5) > CLOSE or abs(q.item() - 2.5) > CLOSE:
        raise Wrong("Two parameters with opposite gradients disturb each other: each needs a velocity of its own.")


def check_changing_rate(sgd):
    after = weights_after(sgd, [1.0, 1.0], momentum=0.5, rates=[1.0, 0.0])
    if after[1] != after[0]:
        raise Wrong("A step with lr = 0 still moves the weight: the velocity must not contain the learning rate.")


def check_counted(sgd):
    """Raise Wrong if the write of a step goes past the version of chapter 5."""
    p = ms.tensor(np.array([3.0]), requires_grad=True)
    loss = (p * p).sum()
    p.grad = ms.tensor(np.array([1.0]))
    sgd([p], lr=1.0).step()
    p.grad = None
    try:
        loss.backward()
    except ms.SavedValueError:
        return
    if p.grad.item() != 6:
        raise Wrong(
            "A backward that still needs the old weights now gives a wrong gradient without an error: "
            "a write to .data is not counted (chapter 5), `p -= …` under no_grad is."
        )


def check_schedule(cosine):
    try:
        rates = [cosine(step, 10, 2.0) for step in range(11)]
    except ZeroDivisionError:
        raise Wrong(
            "cosine divides by 0 when warmup is 0, its default: without a warm-up, leave its factor out."
        ) from None
    if abs(rates[10]) > CLOSE and abs(rates[5]) < CLOSE:
        raise Wrong("The rate rises again: half a cosine is cos(π·step/total), not cos(2π·step/total).")
    if abs(rates[0] - 2.0) > CLOSE:
        raise Wrong(f"The first step, number 0, must have the peak rate 2 without a warm-up, not {rates[0]:g}.")
    if abs(rates[5] - 1.0) > CLOSE or abs(rates[10]) > CLOSE:
        raise Wrong(
            f"Half-way the rate must be half the peak, 1, and at the end 0; yours are {rates[5]:g} and {rates[10]:g}."
        )
    first = cosine(0, 10, 2.0, warmup=4)
    if first == 0:
        raise Wrong("With a warm-up the first rate is 0, a step that does nothing: use (step + 1)/warmup.")
    expected = [2.0 * min(1, (i + 1) / 4) * (1 + math.cos(math.pi * i / 10)) / 2 for i in range(10)]
    warm = [cosine(step, 10, 2.0, warmup=4) for step in range(10)]
    wrong = [i for i in range(10) if abs(warm[i] - expected[i]) > CLOSE]
    if wrong:
        i = wrong[0]
        raise Wrong(
            f"With warmup=4, total=10 and peak 2 the rate of step {i} is {warm[i]:.4f}, expected {expected[i]:.4f}: "
            "the cosine counts from step 0, and the first warmup rates are multiplied by (step + 1)/warmup."
        )


def check_ten_steps(sgd, cosine):
    """Raise Wrong unless ten steps on a small network equal those of minisk."""
    rng = np.random.default_rng(6)
    x, labels = rng.normal(size=(8, 5)), rng.integers(3, size=8)
    start = [rng.normal(size=(5, 4)), rng.normal(size=(4, 3))]
    mine = [ms.tensor(w, requires_grad=True) for w in start]
    theirs = [ms.tensor(w, requires_grad=True) for w in start]
    settings = {"lr": 0.5, "momentum": 0.9, "weight_decay": 0.01}
    own, reference = sgd(mine, **settings), ms.optim.SGD(theirs, **settings)
    schedule = ms.optim.CosineAnnealingLR(reference, STEPS, warmup_steps=3)
    for step in range(STEPS):
        own.lr = cosine(step, STEPS, 0.5, warmup=3)
        for weights, optimizer in ((mine, own), (theirs, reference)):
            optimizer.zero_grad()
            loss = ms.ops.cross_entropy((ms.tensor(x) @ weights[0]).relu() @ weights[1], labels)
            loss.backward()
            optimizer.step()
        schedule.step()
        error = max(np.abs(a.numpy() - b.numpy()).max() for a, b in zip(mine, theirs))
        if error > CLOSE:
            raise Wrong(f"After step {step} the weights differ from minisk's by {error:.0e}, at most 1e-12 allowed.")


def check_prediction(limit):
    if abs(limit - 10) > 1e-9:
        raise Wrong(f"You predict {limit}; where v no longer changes, v = 0.9·v + 1.")
