"""Twins: each kernel's formula in a few lines of NumPy (or CuPy): to learn from, to fall back on, to test against."""
