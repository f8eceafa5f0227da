// launch.h: from a request in C to a kernel called with typed arguments.
//
// MINISK_EXPORT(kernel) of describe.h defines the C function minisk_launch_kernel, which Python calls through ctypes. If
// the sizes fit a GPU, it calls run_grid of the executor that the library was compiled for; otherwise it sets an error.
#pragma once
#include <cstdarg>
#include <cstddef>
#include <utility>

// runtime/structures.py has the same fields.
struct minisk_launch {
    unsigned grid[3], block[3];  // x, y, z
    unsigned dynamic_shared;     // bytes per block
    int schedule;                // order of threads: 0 forward, 1 reverse, 2 random by seed; ignored in mode "cpu"
    unsigned seed;
    char error[512];
    uint64_t address;            // where in the library's code the error arose, for addr2line; 0 if that is not known
    uint64_t access;             // the same of the last memory access before an interruption, in mode "check"; or 0
};

// Marks functions of the executor: only the kernel itself is instrumented.
#define MINISK_UNWATCHED __attribute__((no_sanitize("thread", "undefined")))

// Returns the memory of `extern __shared__` arrays; null in a library without any (extern_shared.cpp).
extern "C" __attribute__((weak, visibility("hidden"))) char* minisk_extern_shared();

namespace minisk {

using Launch = minisk_launch;

static inline dim3 grid_of(const Launch& launch) { return {launch.grid[0], launch.grid[1], launch.grid[2]}; }
static inline dim3 block_of(const Launch& launch) { return {launch.block[0], launch.block[1], launch.block[2]}; }

// Returns the coordinates of a block in a grid, or of a thread in a block; x varies fastest.
MINISK_UNWATCHED static inline uint3 position(size_t index, dim3 extent) {
    const size_t row = index / extent.x;
    return {unsigned(index % extent.x), unsigned(row % extent.y), unsigned(row / extent.y)};
}

// Sets the error message. The first one is kept: later ones usually follow from it.
__attribute__((format(printf, 2, 3))) MINISK_UNWATCHED static void report(Launch& launch, const char* format, ...) {
    if (launch.error[0]) return;
    va_list values;
    va_start(values, format);
    vsnprintf(launch.error, sizeof launch.error, format, values);
    va_end(values);
}

// A kernel with its arguments, ready to be called by every thread of a grid.
struct KernelCall {
    void (*kernel)(void** arguments);
    void** arguments;
    MINISK_UNWATCHED void operator()() const { kernel(arguments); }
};

static void run_grid(Launch& launch, KernelCall call);  // one_thread.h or fibers.h

// The limits of every GPU since compute capability 3.0.
static bool fits_a_gpu(Launch& launch) {
    constexpr unsigned most_blocks[3] = {INT_MAX, 65535, 65535}, most_threads[3] = {1024, 1024, 64};
    constexpr char axes[] = "xyz";
    size_t threads = 1;
    for (int axis = 0; axis < 3; ++axis) {
        const unsigned blocks = launch.grid[axis], width = launch.block[axis];
        if (blocks < 1 || blocks > most_blocks[axis])
            report(launch, "grid.%c is %u: a GPU takes 1 to %u", axes[axis], blocks, most_blocks[axis]);
        if (width < 1 || width > most_threads[axis])
            report(launch, "block.%c is %u: a GPU takes 1 to %u", axes[axis], width, most_threads[axis]);
        threads *= width;
    }
    if (threads > 1024) report(launch, "a block of %zu threads: a GPU takes at most 1024", threads);
    return !launch.error[0];
}

template <class... Parameters, size_t... Index>
MINISK_UNWATCHED void call_typed(void (*kernel)(Parameters...), void** arguments, std::index_sequence<Index...>) {
    kernel(*static_cast<Parameters*>(arguments[Index])...);
}

template <class... Parameters> constexpr auto parameter_indices(void (*)(Parameters...)) {
    return std::index_sequence_for<Parameters...>();
}

#ifdef MINISK_BLOCKS
static inline int begin_next_thread(int previous);  // blocks.h; −1 if there is none

// Calls the kernel for thread after thread. The kernel is compiled into this loop.
template <auto kernel> __attribute__((flatten)) void call_untyped(void** arguments) {
    for (int thread = begin_next_thread(-1); thread >= 0; thread = begin_next_thread(thread))
        call_typed(kernel, arguments, parameter_indices(kernel));
}
#else
template <auto kernel> MINISK_UNWATCHED void call_untyped(void** arguments) {
    call_typed(kernel, arguments, parameter_indices(kernel));
}
#endif

// Writes the address of each argument. Python packs each into a multiple of 16 bytes, which float4 requires.
template <class... Parameters>
MINISK_UNWATCHED void find_arguments(void (*)(Parameters...), [[maybe_unused]] char* packed, void** arguments) {
    ((*arguments++ = packed, packed += (sizeof(Parameters) + 15) / 16 * 16), ...);
}

template <auto kernel> int launch_kernel(Launch& launch, char* packed) {
    void* arguments[parameter_indices(kernel).size() + 1];
    find_arguments(kernel, packed, arguments);
    launch.error[0] = 0;
    launch.address = launch.access = 0;
    if (fits_a_gpu(launch)) run_grid(launch, {call_untyped<kernel>, arguments});
    return launch.error[0] != 0;
}

}  // namespace minisk

#define MINISK_VISIBLE extern "C" __attribute__((visibility("default"))) MINISK_UNWATCHED
