"""Chapter 13: the roof over a kernel."""

# The H100's data sheet: float32 operations and bytes, in a second.
PEAK, BANDWIDTH = 67e12, 3.35e12


def roof(intensity):
    """Return the most operations in a second that a kernel of this intensity can do."""
    return min(PEAK, BANDWIDTH * intensity)
