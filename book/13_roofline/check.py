"""The check of exercise 13."""

import numpy as np

from book.answers import Wrong
from book.kernels import examined, sectors

CHANNELS, OUTPUTS, HEIGHT, WIDTH, TILE = 3, 4, 30, 32, 16  # the last row of tiles reaches beyond the image
NAIVE = 23_898  # sectors of the kernel as given
LEAST_X = 576  # sectors that the patches of the four blocks cover, all channels together


def check(answer):
    prediction = answer.get("PREDICTION")
    if prediction is None:
        raise Wrong("First predict: replace the None of PREDICTION in exercise.py.")
    if prediction != 4:
        raise Wrong(f"PREDICTION is {prediction}: 8 + 8 reads serve 64 products.")
    check_kernel(answer.path("exercise.cu"))


def right_result(x, w):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    return np.einsum("chwpq,ocpq->ohw", windows, w)


def check_kernel(path):
    random = np.random.default_rng(13)
    x = random.standard_normal((CHANNELS, HEIGHT, WIDTH)).astype("f")
    w = random.standard_normal((OUTPUTS, CHANNELS, 3, 3)).astype("f")
    out = np.zeros((OUTPUTS, HEIGHT, WIDTH), "f")
    args = (CHANNELS, OUTPUTS, HEIGHT, WIDTH, x, w, out)
    report = examined(path, "conv", (2, 2), (TILE, TILE), args)
    is_wrong = ~np.isclose(out, right_result(x, w), rtol=1e-3, atol=1e-3)
    if is_wrong.any():
        o, i, j = np.argwhere(is_wrong)[0]
        inner = is_wrong[:, 1:15, 1:15].any()
        where = (
            "inside a tile too: look at the indices of the patch and the weights, and at where each sum starts"
            if inner
            else "at the border of a tile only: the taps reach one pixel beyond it"
        )
        raise Wrong(f"{is_wrong.sum()} results are wrong, first out[{o},{i},{j}], {where}.")
    moved, of_x, of_w = sectors(report), sectors(report, "x"), sectors(report, "w")
    if moved == NAIVE:
        raise Wrong(f"The kernel is as it was given: it moves {moved} sectors, and at most {NAIVE // 5} are allowed.")
    if of_x > 1.25 * LEAST_X:
        raise Wrong(
            f"The result is right, but x moves {of_x} sectors where about "
            f"{LEAST_X} would do: stage each channel's patch "
            "once, for all outputs."
        )
    if of_w > 200:
        raise Wrong(
            f"The pixels are staged, but w still moves {of_w} sectors: stage the weights of the channel as well."
        )
    if moved > NAIVE / 5:
        raise Wrong(f"{moved} sectors are more than a fifth of the {NAIVE} of the given kernel.")
