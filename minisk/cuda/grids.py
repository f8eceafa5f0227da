"""Block and grid sizes that several launchers share. A *plane* is one channel of one image: H·W elements."""

BLOCK = 256  # threads, at most
ELEMENTS_PER_BLOCK = 4 * BLOCK  # large planes use several blocks, small planes share one
ELEMENTS_PER_THREAD = 8  # of a flat array, before another block is used
MAX_GRID_Y = 65535  # CUDA's limit for a grid's y


def plane_block(spatial: int) -> tuple[int]:
    """Return the block size for planes of `spatial` elements: a multiple of 32, no larger than a plane needs."""
    return (min(BLOCK, -(-spatial // 32) * 32),)


def plane_grid(planes: int, spatial: int) -> tuple[int, int]:
    """Return the grid (blocks, tiles) for planes of `spatial` elements; a block takes several small planes in turn."""
    planes_per_block = max(1, ELEMENTS_PER_BLOCK // spatial)
    return -(-planes // planes_per_block), min(MAX_GRID_Y, -(-spatial // ELEMENTS_PER_BLOCK))


def flat_grid(count: int) -> tuple[int]:
    """Return the grid for a flat array of `count` elements; the kernel's loop covers the rest beyond the limit."""
    return (min(MAX_GRID_Y, -(-count // (BLOCK * ELEMENTS_PER_THREAD))),)
