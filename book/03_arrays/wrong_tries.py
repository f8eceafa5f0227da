"""Typical wrong tries of exercise 3, as changes of the kept solution."""

from book.answers import Try

SUM = "gradient.sum(axis=axes, keepdims=True).reshape(shape)"
DA, DB = "sum_to(dout * ctx.b, ctx.a.shape)", "sum_to(dout * ctx.a, ctx.b.shape)"
TRIES = [
    Try("returns the gradient as it is", {SUM: "gradient"}, "it does not sum"),
    Try(
        "sums missing axes only",
        {SUM: "gradient.sum(axis=tuple(range(missing)))"},
        "has size 1 were repeated too",
    ),
    Try(
        "forgets keepdims",
        {"keepdims=True).reshape(shape)": "keepdims=False)"},
        "keepdims=True keeps the axes",
    ),
    Try("forgets the return", {f"return {SUM}": f"result = {SUM}"}, "is a `return` missing"),
    Try("sums over axis 0 always", {SUM: "gradient.sum(axis=0)"}, "nothing was repeated"),
    Try(
        "aligns on the left", {"(1,) * missing + tuple(shape)": "tuple(shape) + (1,) * missing"}, "aligned on the right"
    ),
    Try("keeps the missing axes", {".reshape(shape)": ""}, "must go, not stay with size 1"),
    Try("takes the mean", {"gradient.sum(": "gradient.mean("}, "it is a mean, not a sum"),
    Try(
        "takes the first copy",
        {SUM: "gradient[tuple(slice(0, n) for n in padded)].reshape(shape)"},
        "fails the equation",
    ),
    Try("gives each input its own slope", {DA: "sum_to(dout * ctx.a, ctx.a.shape)"}, "is the other factor"),
    Try("forgets dout", {DA: "sum_to(ctx.b * np.ones_like(dout), ctx.a.shape)"}, "does not depend on dout"),
    Try("forgets sum_to", {DB: "dout * ctx.a"}, "call sum_to on the product, last"),
    Try(
        "sums before it multiplies", {DB: "sum_to(dout, ctx.b.shape) * sum_to(ctx.a, ctx.b.shape)"}, "wrong for shapes"
    ),
    Try(
        "sums before it multiplies, by the other factor as it is",
        {DB: "sum_to(dout, ctx.b.shape) * ctx.a"},
        "call sum_to on the product, last",
    ),
    Try("returns one gradient", {f"{DA}, {DB}": DA}, "must return two gradients"),
    Try("predicts the missing axis only", {"AXES_OF_B = (0, 2)": "AXES_OF_B = (0,)"}, "write (2, 1) below (4, 2, 3)"),
    Try("runs before predicting", {"AXES_OF_B = (0, 2)": "AXES_OF_B = None"}, "Predict before you run: AXES_OF_B"),
]
