// cooperative_groups/reduce.h: a header of CUDA. Its words are always defined: see vocabulary.h.
