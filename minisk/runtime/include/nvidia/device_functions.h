// device_functions.h: a header of CUDA. Its words are always defined: see vocabulary.h.
