// instrumentation.h: the functions of the checker that are called from outside: by kernels, by the compiler's
// instrumentation, and by Python.
#pragma once

// Load or store a vector as one access, as a GPU does.
template <class Vector> MINISK_UNWATCHED __attribute__((noinline)) Vector minisk_load_whole(const void* address) {
    minisk::watch(const_cast<void*>(address), sizeof(Vector), minisk_read, __builtin_return_address(0));
    return *static_cast<const Vector*>(address);
}
template <class Vector> MINISK_UNWATCHED __attribute__((noinline)) void minisk_store_whole(void* address, Vector v) {
    minisk::watch(address, sizeof(Vector), minisk_write, __builtin_return_address(0));
    *static_cast<Vector*>(address) = v;
}

// What memcpy, memmove and memset mean in a kernel: cuda_on_cpu.h replaces the names.
MINISK_UNWATCHED __attribute__((noinline, unused))
static void* minisk_memcpy(void* to, const void* from, size_t bytes) {
    minisk::watch_copy(to, from, bytes, __builtin_return_address(0));
    return memcpy(to, from, bytes);
}
MINISK_UNWATCHED __attribute__((noinline, unused))
static void* minisk_memmove(void* to, const void* from, size_t bytes) {
    minisk::watch_copy(to, from, bytes, __builtin_return_address(0));
    return memmove(to, from, bytes);
}
MINISK_UNWATCHED __attribute__((noinline, unused))
static void* minisk_memset(void* to, int value, size_t bytes) {
    minisk::watch_range(to, bytes, minisk_write, __builtin_return_address(0));
    return memset(to, value, bytes);
}
namespace std {
using ::minisk_memcpy;
using ::minisk_memmove;
using ::minisk_memset;
}  // namespace std

// ---- called by Python ----

// Resets the checker; called before each launch.
MINISK_VISIBLE void minisk_check_begin() {
    minisk::region_count = minisk::finding_count = 0;
    minisk::forget_sites();
}
// Registers an array of the next launch. `known` has a byte for each byte of the array: 0 if it is uninitialised. The
// launch updates it. Null: all bytes are initialised.
MINISK_VISIBLE void minisk_check_array(void* start, size_t bytes, int argument, int writable, unsigned char* known) {
    minisk::add_region(start, bytes, argument, false, writable, known);
}
// Registers a variable of the file. offset: in the library, or for a __shared__ one in its thread-local memory.
MINISK_VISIBLE void minisk_check_object(int number, int is_shared, size_t offset, size_t bytes) {
    char* const start = is_shared ? minisk::static_shared_memory().start : minisk::__ehdr_start;
    minisk::add_region(start + offset, bytes, -2 - number, is_shared, true, nullptr);
}
// Called after the launch, for index 0, 1, … until they return 0.
MINISK_VISIBLE int minisk_check_finding(int index, minisk_finding* finding) {
    if (index >= minisk::finding_count) return 0;
    *finding = minisk::findings[index].result;
    return 1;
}
MINISK_VISIBLE int minisk_check_site(int index, minisk_site* site) {
    if (index >= minisk::site_count) return 0;
    *site = minisk::sites[index].result;
    return 1;
}

// ---- called by -fsanitize=thread ----

#define MINISK_WATCH(name, bytes, access)                                    \
    MINISK_VISIBLE void name(void* address) {                                \
        minisk::watch(address, bytes, access, __builtin_return_address(0));  \
    }
#define MINISK_WATCH_ALL(bytes)                                              \
    MINISK_WATCH(__tsan_read##bytes, bytes, minisk_read)                     \
    MINISK_WATCH(__tsan_write##bytes, bytes, minisk_write)                   \
    MINISK_WATCH(__tsan_unaligned_read##bytes, bytes, minisk_read)           \
    MINISK_WATCH(__tsan_unaligned_write##bytes, bytes, minisk_write)
MINISK_WATCH_ALL(1) MINISK_WATCH_ALL(2) MINISK_WATCH_ALL(4) MINISK_WATCH_ALL(8) MINISK_WATCH_ALL(16)

MINISK_VISIBLE void __tsan_read_range(void* start, size_t bytes) {
    minisk::watch_range(start, bytes, minisk_read, __builtin_return_address(0));
}
MINISK_VISIBLE void __tsan_write_range(void* start, size_t bytes) {
    minisk::watch_range(start, bytes, minisk_write, __builtin_return_address(0));
}
MINISK_VISIBLE void __tsan_func_entry(void* return_address) {
    if (minisk::current == minisk::no_thread) return;
    minisk::Calls& mine = minisk::calls[minisk::current];
    if (mine.depth < minisk::most_calls) mine.from[mine.depth] = return_address;
    ++mine.depth;
}
MINISK_VISIBLE void __tsan_func_exit() {
    if (minisk::current != minisk::no_thread) --minisk::calls[minisk::current].depth;
}
MINISK_VISIBLE void __tsan_init() {}
