"""Analysis of models and runs: layers (summary), time (profiler), the autograd graph (graph), figures (figures)."""
