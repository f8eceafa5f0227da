// processor.h: the variables that threads read most, in mode "blocks", one set for each processor.
//
// A thread-local variable of a library costs a call at each use. Here the call is that of a function which the compiler
// knows to return the same address throughout a kernel, so it is made once.
#pragma once

namespace minisk {

struct Processor {
    uint3 thread_index, block_index;
    dim3 block_size, grid_size;
    int threads;         // of the block
    int begun;           // of them
    bool has_waited;     // some thread of the block has waited
    int* current_thread; // fibers.h: current
};

static thread_local Processor this_processor;
__attribute__((noinline, const)) static Processor& processor() { return this_processor; }

}  // namespace minisk

#define threadIdx (minisk::processor().thread_index)
#define blockIdx (minisk::processor().block_index)
#define blockDim (minisk::processor().block_size)
#define gridDim (minisk::processor().grid_size)
