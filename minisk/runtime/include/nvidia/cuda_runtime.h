// cuda_runtime.h: a header of CUDA. Its words are always defined: see vocabulary.h.
