"""Typical wrong tries of exercise 12, as changes of the kept solution."""

from book.answers import Try

CU = "exercise.cu"
OUT = "out[i] = (real)(a0 * (wide)x0[i] + a1 * (wide)x1[i]);"

TRIES = [
    Try("no maximum", {"e0 = exp(z0 - top), e1 = exp(z1 - top);": "e0 = exp(z0), e1 = exp(z1);"}, "e^100", file=CU),
    Try(
        "two passes over out",
        {OUT: "out[i] = (real)(a0 * (wide)x0[i]);\n        out[i] = (real)((wide)out[i] + a1 * (wide)x1[i]);"},
        "add both products in a register",
        file=CU,
    ),
    Try(
        "logits as (N, C, 2)",
        {
            "out) {\n    const int first = blockIdx.x / channels * 2 * channels + "
            "blockIdx.x % channels, second = first + channels;": "out) {\n    const int first = 2 * "
            "blockIdx.x, second = first + 1;"
        },
        "(n·2 + m)·channels + c",
        file=CU,
    ),
    Try(
        "leaves dweights out",
        {
            "block_sum(sum0) + (wide)dweights[first]": "block_sum(sum0)",
            "block_sum(sum1) + (wide)dweights[second]": "block_sum(sum1)",
        },
        "leaves out `dweights`",
        file=CU,
    ),
    Try("no mean", {"(da0 - mean)": "da0", "(da1 - mean)": "da1"}, "subtract the mean", file=CU),
    Try("one thread's sum", {"block_sum(sum0)": "sum0"}, "check the sums", file=CU),
    Try(
        "block_sum in one thread",
        {"const wide da0 = block_sum(sum0)": "if (threadIdx.x > 0) return;\n    const wide da0 = block_sum(sum0)"},
        "'synchronisation'",
        file=CU,
    ),
    Try(
        "a loop of its own for the sums",
        {
            "sum0 += g * (wide)x0[i];\n        sum1 += g * (wide)x1[i];\n    }": (
                "}\n    for (int i = blockIdx.x * spatial + threadIdx.x; i < (blockIdx.x + 1) * spatial; i += 64) {\n"
                "        sum0 += (wide)dout[i] * (wide)x0[i];\n        sum1 += (wide)dout[i] * (wide)x1[i];\n    }"
            )
        },
        "sectors of dout",
        file=CU,
    ),
    Try(
        "dweights in every thread",
        {
            "block_sum(sum0) + (wide)dweights[first]": "block_sum(sum0 + (wide)dweights[first])",
            "block_sum(sum1) + (wide)dweights[second]": "block_sum(sum1 + (wide)dweights[second])",
        },
        "add it after block_sum",
        file=CU,
    ),
    Try("float for wide", {"wide e0": "float e0"}, "use `wide`", file=CU),
    Try("counts the chain", {"PREDICTION = 3": "PREDICTION = 5"}, "one pass reads"),
]
