// cuda_on_cpu.h: compile a .cu file with a C++ compiler and execute its kernels on the CPU.
//
// The generated unit includes this header, then the .cu file unchanged, then has MINISK_EXPORT(kernel) for each kernel.
// One macro chooses the executor:
//
//   MINISK_ONE_THREAD       mode "cpu"      blocks of one thread, spread over the cores: fast             one_thread.h
//   MINISK_FIBERS           mode "threads"  every CUDA thread a fiber, at the true block size: exact      fibers.h
//   and with MINISK_BLOCKS  mode "blocks"   the same, in parallel and without checks: any kernel               blocks.h
//   and with MINISK_CHECK   mode "check"    every memory access checked as well                           checker.h
//
// Read in this order: launch.h (how Python calls a kernel), vocabulary.h, one_thread.h, fibers.h, scheduler.h,
// crashes.h, and the checker: shadow.h, counters.h, fences.h, order.h, findings.h, checker.h, undefined.h.
#pragma once
#define MINISK_ON_CPU  // common.cuh chooses by it
#include "vocabulary.h"

#include "launch.h"
#include "describe.h"
#include "warp.h"

#if defined(MINISK_ONE_THREAD)
#include "one_thread.h"
#elif defined(MINISK_FIBERS)
#include "fibers.h"
#ifdef MINISK_CHECK
#include "checker.h"
#endif
#else
#error "minisk: compile with -DMINISK_ONE_THREAD or -DMINISK_FIBERS"
#endif

#include "vocabulary/collectives.h"
#include "vocabulary/cooperative_groups.h"

// One process loads several libraries of one file (modes, dtypes). The dynamic linker must not merge their symbols, for
// example a template's shared array: only the functions that MINISK_EXPORT defines are visible.
#pragma GCC visibility push(hidden)

// A kernel may write alignas behind __shared__, where C++ allows only an attribute.
#define alignas(...) __attribute__((aligned(__VA_ARGS__)))

#ifdef MINISK_CHECK
#define memcpy minisk_memcpy
#define memmove minisk_memmove
#define memset minisk_memset
#endif
