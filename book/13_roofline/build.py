"""Chapter 13: the roof over a kernel."""

PEAK, BANDWIDTH = 67e12, 3.35e12  # the H100's data sheet: float32 operations, bytes a second


def roof(intensity):
    """Return the most operations in a second that a kernel of this intensity can do."""
    return min(PEAK, BANDWIDTH * intensity)
