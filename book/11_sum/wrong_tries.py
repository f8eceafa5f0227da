"""Typical wrong tries of exercise 11, as changes of the kept solution."""

from book.answers import Try

BARRIER = "    __syncthreads();\n"
CU = "exercise.cu"

TRIES = [
    Try("leaves the race", {BARRIER: ""}, "no barrier stands between", file=CU),
    Try(
        "a barrier that one thread reaches",
        {
            BARRIER: "",
            "if (threadIdx.x == 0) out": "if (threadIdx.x == 0) { __syncthreads(); } if (threadIdx.x == 0) out",
        },
        "'synchronisation'",
        file=CU,
    ),
    Try("leaves the tail out", {"s < spatial;": "s + 4 * 64 <= spatial;"}, "Only the first 304 elements", file=CU),
    Try("reads beyond the tail", {"s < spatial;": "s < spatial + 256;"}, "'out of bounds'", file=CU),
    Try("one warp's sum", {"(of_warp[0] + of_warp[1])": "of_warp[0]"}, "Only the first warp", file=CU),
    Try(
        "a loop over single elements",
        {
            "int s = 4 * threadIdx.x; s < spatial; s += 4 * 64": "int s = threadIdx.x; s < spatial; s += 64",
            "const four elements = load4(plane + s);": "",
            "for (int k = 0; k < 4; k++) total += (wide)elements.item[k];": "total += (wide)plane[s];",
        },
        "loaded one by one",
        file=CU,
    ),
    Try(
        "adds in the stored type",
        {"total += (wide)elements.item[k];": "total = (wide)(real)(total + (wide)elements.item[k]);"},
        "add in `wide`",
        file=CU,
    ),
    Try(
        "passes on the stored type",
        {"wide of_warp[2]": "real of_warp[2]", "of_warp[warp] = total": "of_warp[warp] = (real)total"},
        "lanes and warps pass on",
        file=CU,
    ),
    Try("exchanges with itself", {"distance = 16": "distance = 32"}, "twice what it should be", file=CU),
    Try("counts one warp", {"PREDICTION = 10": "PREDICTION = 5"}, "runs that loop twice"),
    Try("counts the exchanges of eight sums", {"PREDICTION = 10": "PREDICTION = 8"}, "runs that loop twice"),
]
