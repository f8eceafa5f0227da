"""Typical wrong tries of exercise 13, as changes of the kept solution."""

from book.answers import Try

CU = "exercise.cu"
LEAVE = "    if (i >= height || j >= width) return;\n"

TRIES = [
    Try(
        "leaves before a barrier",
        {"    float sum[MOST": LEAVE + "    float sum[MOST"},
        "'synchronisation'",
        file=CU,
    ),
    Try(
        "no barrier before the next channel",
        {"        __syncthreads();\n    }\n": "    }\n"},
        "reads it too",
        file=CU,
    ),
    Try(
        "no zeros outside the image",
        {"inside ? x[(c * height + y) * width + z] : 0": "x[(c * height + y) * width + z]"},
        "'out of bounds'",
        file=CU,
    ),
    Try(
        "a patch without its border",
        {
            "blockIdx.y * TILE + e / PATCH - 1": "blockIdx.y * TILE + e / PATCH - 1 + (e / "
            "PATCH == 0) - (e / PATCH == 17)",
        },
        "at the border of a tile",
        file=CU,
    ),
    Try(
        "rows and columns exchanged",
        {"patch[threadIdx.y + tap / 3][threadIdx.x + tap % 3]": "patch[threadIdx.y + tap % 3][threadIdx.x + tap / 3]"},
        "inside a tile too",
        file=CU,
    ),
    Try(
        "weights from global memory",
        {"weights[o][tap] * seen": "w[(o * channels + c) * 9 + tap] * seen"},
        "stage the weights",
        file=CU,
    ),
    Try(
        "stages the patch for each output again",
        {
            "for (int e = thread;": "for (int again = 0; again < outputs; again++) for (int e = thread;",
        },
        "stage each channel's patch once",
        file=CU,
    ),
    Try(
        "weights of another channel",
        {"w[(thread / 9 * channels + c) * 9": "w[(c * outputs + thread / 9) * 9"},
        "and the weights",
        file=CU,
    ),
    Try(
        "leaves the border of the patch as it was",
        {
            "patch[e / PATCH][e % PATCH] = inside ? x[(c * height + y) * width + z] : 0;": (
                "if (inside) patch[e / PATCH][e % PATCH] = x[(c * height + y) * width + z];"
            )
        },
        "no thread has written it",
        file=CU,
    ),
    Try("products for all reads", {"PREDICTION = 4": "PREDICTION = 64"}, "8 + 8 reads"),
]
