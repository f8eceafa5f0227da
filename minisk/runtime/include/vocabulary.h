// vocabulary.h: the keywords, types and functions of CUDA C that kernels use and a C++ compiler does not define.
//
// Each family has a header in vocabulary/. What depends on how threads are executed (threadIdx, __shared__, barriers,
// warp collectives, fences) is in one_thread.h, fibers.h, warp.h and vocabulary/collectives.h. docs/cuda-words.md lists
// all words; tools/cuda_words.py makes it from these headers.
#pragma once
#include <type_traits>  // defines the next macro, in GNU's library
// Without C++17's special functions, <cmath> compiles 40 ms faster.
#undef _GLIBCXX_USE_STD_SPEC_FUNCS

#include <cassert>
#include <cfloat>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "vocabulary/keywords.h"
#include "vocabulary/vector_types.h"
#include "vocabulary/mathematics.h"
#include "vocabulary/casts.h"
#include "vocabulary/rounding.h"
#include "vocabulary/integers.h"
#include "vocabulary/constants.h"
#include "vocabulary/memory.h"
#include "vocabulary/atomics.h"
#include "vocabulary/half.h"
#include "vocabulary/pipeline.h"
