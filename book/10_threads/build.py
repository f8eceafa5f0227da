"""Chapter 10: the index of a thread, and the sectors of a launch."""


def indices(blocks, threads):
    """Return the index of each thread of each block."""
    return [[b * threads + t for t in range(threads)] for b in range(blocks)]


def sectors(report, array):
    """Return the sectors that a launch moved of one array."""
    return sum(site.transactions for site in report.sites if site.array == array)
