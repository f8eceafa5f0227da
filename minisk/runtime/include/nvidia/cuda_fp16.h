// cuda_fp16.h: a header of CUDA. Its words are always defined: see vocabulary.h.
