"""Typical wrong tries of exercise 10, as changes of the kept solution."""

from book.answers import Try

RUNS = "int s = threadIdx.x; s < spatial; s += blockDim.x"

TRIES = [
    Try(
        "two threads for each element",
        {RUNS: "int s = threadIdx.x / 2; s < spatial; s += blockDim.x / 2"},
        "all lanes of a warp must have work",
        file="exercise.cu",
    ),
    Try("one element too many", {"s < spatial;": "s <= spatial;"}, "race", file="exercise.cu"),
    Try("no loop", {"s += blockDim.x": "s += spatial"}, "unwritten", file="exercise.cu"),
    Try("the scale of the block's size", {"a[blockIdx.x]": "a[threadIdx.x % 5]"}, "out[0,1] is", file="exercise.cu"),
    Try(
        "every second element, twice",
        {
            RUNS: "int s = 2 * threadIdx.x; s < 2 * spatial; s += 2 * blockDim.x",
            "blockIdx.x * spatial + s;": "blockIdx.x * spatial + (s < spatial ? s : s - spatial + 1);",
        },
        "lanes are 2 numbers apart",
        file="exercise.cu",
    ),
    Try("bytes of a lane, not of a warp", {"PREDICTION = 8": "PREDICTION = 4"}, "span 256 bytes"),
    Try(
        "the grid's loop over one plane",
        {RUNS: "int s = blockIdx.x * blockDim.x + threadIdx.x; s < spatial; s += gridDim.x * blockDim.x"},
        "elements of out are never written, from element 64 on",
        file="exercise.cu",
    ),
    Try(
        "the grid's loop over all planes, with the block's scale",
        {
            RUNS: "int s = blockIdx.x * blockDim.x + threadIdx.x; s < gridDim.x * spatial; s += gridDim.x * blockDim.x",
            "blockIdx.x * spatial + s;": "s;",
        },
        "out[0,64] is",
        file="exercise.cu",
    ),
    Try("forgets the plane", {"blockIdx.x * spatial + s;": "s;"}, "'race'", file="exercise.cu"),
    Try("a mistake of C++", {"int i = ": "int i "}, "the compiler says", file="exercise.cu"),
]
