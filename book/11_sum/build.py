"""Chapter 11: the sums themselves are kernels; `minisk steps sum` has them all."""
