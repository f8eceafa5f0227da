"""Typical wrong tries of exercise 6, as changes of the kept solution."""

from book.answers import Try

VELOCITY = "self.velocities[i] = self.momentum * self.velocities[i] + g"
GRADIENT = "g = p.grad.numpy() + self.weight_decay * p.numpy()"
UPDATE = "p -= self.lr * self.velocities[i]"
TRIES = [
    Try("moves along the gradient", {"p -= self": "p += self"}, "move against the gradient"),
    Try("changes a copy", {UPDATE: "p = p - self.lr * self.velocities[i]"}, "change the parameter in place"),
    Try("does not keep the velocity", {VELOCITY: "self.velocities[i] = g"}, "not kept from step to step"),
    Try(
        "averages the gradients",
        {"self.velocities[i] + g": "self.velocities[i] + (1 - self.momentum) * g"},
        "the factor 1 − momentum",
    ),
    Try(
        "puts the rate into the velocity",
        {"[i] + g": "[i] + self.lr * g", UPDATE: "p -= self.velocities[i]"},
        "must not contain the learning rate",
    ),
    Try(
        "one velocity for all",
        {"i, p in enumerate(self.parameters)": "i, p in ((0, p) for p in self.parameters)"},
        "a velocity of its own",
    ),
    Try("forgets weight decay", {GRADIENT: "g = p.grad.numpy()"}, "Weight decay has no effect"),
    Try("subtracts weight decay", {"numpy() + self.weight": "numpy() - self.weight"}, "added to the gradient"),
    Try(
        "decays beside the velocity",
        {GRADIENT: "g = p.grad.numpy()", UPDATE: "p -= self.lr * (self.velocities[i] + self.weight_decay * p.numpy())"},
        "does not go through the velocity",
    ),
    Try(
        "changes the gradient in place",
        {GRADIENT: "g = p.grad.numpy()\n                g += self.weight_decay * p.numpy()"},
        "belongs to the caller",
    ),
    Try(
        "a missing gradient ends it",
        {"                if p.grad is None:\n                    continue\n": ""},
        "such a parameter must stay as it is",
    ),
    Try(
        "a missing gradient ends the loop",
        {"                    continue": "                    break"},
        "skip that one only",
    ),
    Try("writes to .data", {UPDATE: "p.data -= self.lr * self.velocities[i]"}, "a write to .data is not counted"),
    Try(
        "the formula of the text, with a warm-up of 0",
        {"min(1, (step + 1) / warmup) if warmup else 1": "min(1, (step + 1) / warmup)"},
        "leave its factor out",
    ),
    Try(
        "the cosine begins after the warm-up",
        {"math.pi * step / total": "math.pi * (step - warmup) / (total - warmup)"},
        "the cosine counts from step 0",
    ),
    Try("a whole cosine", {"math.pi * step": "2 * math.pi * step"}, "The rate rises again"),
    Try("counts steps from 1", {"math.pi * step / total": "math.pi * (step + 1) / total"}, "The first step, number 0"),
    Try("the warm-up begins with 0", {"(step + 1) / warmup": "step / warmup"}, "a step that does nothing"),
    Try("predicts the gradient", {"LIMIT = 10": "LIMIT = 1"}, "v = 0.9·v + 1"),
    Try("runs before predicting", {"LIMIT = 10": "LIMIT = None"}, "Predict before you run: LIMIT"),
]
