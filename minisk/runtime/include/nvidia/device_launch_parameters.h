// device_launch_parameters.h: a header of CUDA. Its words are always defined: see vocabulary.h.
