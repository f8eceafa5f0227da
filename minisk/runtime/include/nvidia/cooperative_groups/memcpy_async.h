// cooperative_groups/memcpy_async.h: a header of CUDA. Its words are always defined: see vocabulary.h.
