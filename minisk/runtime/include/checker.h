// checker.h: mode "check": every memory access of a kernel is checked, as NVIDIA's compute-sanitizer does on a GPU.
//
// The compiler's -fsanitize=thread inserts a call before each load and store; this file defines the functions called.
// For each cell of global and shared memory they record the last plain write, two reads and two atomic updates, with
// block, thread, source line and a logical time. These suffice to find, independently of the order of execution:
//
//   out of bounds, misaligned   the launch stops there: the access itself could crash
//   race                        two accesses with no barrier, collective or fence between, one a write, not both
//                               atomic
//   uninitialised               a read of shared memory not written by this block, or of an unwritten output array
//
// Python registers the arrays first (minisk_check_array), launches, then fetches findings and, from counters.h, sites.
#pragma once
#include "counters.h"
#include "fences.h"

// ---- the interface to Python: runtime/structures.py has the same fields ----

enum minisk_kind { minisk_out_of_bounds, minisk_misaligned, minisk_race, minisk_uninitialised, minisk_read_only };

// One access: `address` is the call's offset in the library, for addr2line -i.
struct minisk_accessor {
    uint64_t address;
    unsigned block[3], thread[3];
    int access;  // minisk_access
};

struct minisk_finding {
    int kind;                       // minisk_kind
    int array;                      // argument index; −1 dynamic shared memory, −2 __shared__ arrays
    int64_t offset;                 // bytes from the array's start
    unsigned bytes;                 // size of the access
    uint64_t count;                 // occurrences from the same lines
    minisk_accessor here, other;    // other: the earlier access, if it is a race
};

namespace minisk {

// Defined by the linker: the start and end of this library.
extern "C" __attribute__((visibility("hidden"))) char __ehdr_start[], _end[];
constexpr int most_findings = 20;
static minisk_finding findings[most_findings];
static int finding_count;

// ---- findings ----

MINISK_UNWATCHED static void locate(const Record& record, minisk_accessor& accessor) {
    const uint3 block = position(record.block - 1, gridDim), thread = fibers[record.thread].index;
    accessor = {record.address, {block.x, block.y, block.z}, {thread.x, thread.y, thread.z}, record.access};
}

// Adds a finding. Those from the same lines are counted as one; at most 20 are kept.
MINISK_UNWATCHED static void find(minisk_kind kind, const Region& region, uintptr_t address, size_t bytes,
                                  const Record& here, const Record& other = {}) {
    for (int i = 0; i < finding_count; ++i) {
        minisk_finding& known = findings[i];
        const bool same_lines = known.here.address == here.address && known.other.address == other.address;
        if (known.kind == kind && same_lines) return void(++known.count);
    }
    if (finding_count == most_findings) return;
    minisk_finding& finding = findings[finding_count++];
    finding = {kind, region.array, int64_t(address - region.start), unsigned(bytes), 1, {}, {}};
    locate(here, finding.here);
    if (other.block) locate(other, finding.other);
}

// Ends the launch: the calling fiber is never resumed.
MINISK_UNWATCHED static void stop(const char* reason) {
    report(*running, "stopped before %s access: see the findings", reason);
    wait(State::ready, {});
}

// ---- order: which accesses certainly happen before which (happens-before) ----

MINISK_UNWATCHED static bool is_before_me(const Record& record) {
    if (record.block != block_number) return is_acquired(record);  // blocks run in any order
    if (record.thread == current || record.time < last_barrier) return true;
    if (record.thread / 32 == current / 32 && record.time < met[current][record.thread % 32]) return true;
    return is_acquired(record);
}

MINISK_UNWATCHED static bool races(const Record& earlier, const Record& mine, bool is_shared) {
    if (earlier.block == 0 || (is_shared && earlier.block != block_number)) return false;
    if (earlier.access == minisk_atomic && mine.access == minisk_atomic) return false;
    return !is_before_me(earlier);
}

MINISK_UNWATCHED static bool is_mine(const Record& record) { return record.block == block_number; }

// Records a read or an atomic update. Two are kept, such that any later access that races with some of them races with
// one of these: one that certainly came before the current thread is replaced by it, and one of each warp is enough.
// In shared memory, those of earlier blocks count for nothing.
MINISK_UNWATCHED static void remember(Record (&kept)[2], const Record& mine, bool is_shared) {
    for (Record& record : kept) {
        const bool is_over = is_shared && !is_mine(record);
        if (record.block == 0 || is_over || is_before_me(record)) return void(record = mine);
    }
    const bool second_is_spare = is_mine(kept[0]) && kept[0].thread / 32 == kept[1].thread / 32;
    if (!is_mine(kept[1]) || second_is_spare) kept[1] = mine;
}

// ---- one access ----

MINISK_UNWATCHED static bool is_written(const Cell& cell) {
    return is_mine(cell.write) || is_mine(cell.atomics[0]) || is_mine(cell.atomics[1]);
}

MINISK_UNWATCHED static bool is_initialised(const Region& region, const Cell* cell, uintptr_t address, size_t bytes) {
    if (region.is_shared) {
        for (size_t i = 0; i * region.unit < bytes; ++i) {
            if (!is_written(cell[i])) return false;
        }
    } else if (region.initialised) {
        return !memchr(region.initialised + (address - region.start), 0, bytes);
    }
    return true;
}

// Returns an earlier access to the cell that races with this one, or null.
MINISK_UNWATCHED static const Record* rival_of(const Cell& cell, const Record& mine, bool is_shared) {
    if (races(cell.write, mine, is_shared)) return &cell.write;
    for (const Record& update : cell.atomics) {
        if (races(update, mine, is_shared)) return &update;
    }
    for (const Record& read : cell.reads) {
        if (mine.access != minisk_read && races(read, mine, is_shared)) return &read;
    }
    return nullptr;
}

// Finds races with earlier accesses to the cell, and records this one. Returns true if it is this block's first of its
// kind (read or write).
MINISK_UNWATCHED static bool visit(Cell& cell, const Record& mine, const Region& region, uintptr_t address,
                                   size_t bytes) {
    const Record* rival = rival_of(cell, mine, region.is_shared);
    if (rival) find(minisk_race, region, address, bytes, mine, *rival);

    const bool is_read = mine.access == minisk_read;
    const bool first = is_read ? !is_mine(cell.reads[0]) && !is_mine(cell.reads[1]) : !is_written(cell);
    if (is_read) remember(cell.reads, mine, region.is_shared);
    else if (mine.access == minisk_atomic) remember(cell.atomics, mine, region.is_shared);
    else cell.write = mine;
    return first;
}

MINISK_UNWATCHED static bool is_private(uintptr_t address) {
    const bool is_local = address - uintptr_t(stack_of(current)) < stack_bytes;
    return is_local || (address >= uintptr_t(__ehdr_start) && address < uintptr_t(_end));  // threadIdx, constants
}

// Checks one access of the running thread.
MINISK_UNWATCHED static void watch(void* pointer, size_t bytes, minisk_access access, void* return_address) {
    const uintptr_t address = uintptr_t(pointer);
    if (current == no_thread || is_private(address)) return;
    Site& site = site_at(uintptr_t(return_address) - 1 - uintptr_t(__ehdr_start));  // − 1: in the call, not after it
    wait_for_room(site);
    const Record mine{block_number, now, unsigned(site.result.address), uint16_t(current), uint8_t(access)};

    Region* region = site.region && site.region->holds(address, bytes) ? site.region : region_of(address, bytes);
    if (!region || is_in_gap(address)) {
        find(minisk_out_of_bounds, region ? *region : nearest_region(address), address, bytes, mine);
        return stop("an out-of-bounds");
    }
    if (address % bytes) {
        find(minisk_misaligned, *region, address, bytes, mine);
        return stop("a misaligned");
    }
    if (bytes < region->unit) refine(*region, unsigned(bytes));
    if (!region->cells) return report(*running, "no memory to watch an array of %zu bytes", region->bytes);

    Cell* cell = region->cells + (address - region->start) / region->unit;
    if (access != minisk_read && !region->is_writable) find(minisk_read_only, *region, address, bytes, mine);
    if (access != minisk_write && !is_initialised(*region, cell, address, bytes))
        find(minisk_uninitialised, *region, address, bytes, mine);
    if (access != minisk_read && region->initialised) memset(region->initialised + (address - region->start), 1, bytes);
    unsigned new_bytes = 0;
    for (size_t i = 0; i * region->unit < bytes; ++i) {
        if (visit(cell[i], mine, *region, address, bytes)) new_bytes += region->unit;
    }
    if (access == minisk_atomic) order_by_update(address);
    else let_others_run(pointer, access == minisk_read, 1000000);
    site.region = region;
    count_access(site, address - region->start, unsigned(bytes), access, new_bytes);
}

MINISK_UNWATCHED static void watch_range(void* start, size_t bytes, minisk_access access, void* return_address) {
    const size_t step = (uintptr_t(start) | bytes) % 4 ? 1 : 4;
    for (size_t i = 0; i < bytes; i += step) watch(static_cast<char*>(start) + i, step, access, return_address);
}

// The instrumentation does not see these functions of C. The read counts as a place of its own, one byte before the
// write's: still within the call, so on the same line.
MINISK_UNWATCHED static void watch_copy(void* to, const void* from, size_t bytes, void* return_address) {
    const size_t step = (uintptr_t(to) | uintptr_t(from) | bytes) % 4 ? 1 : 4;
    char* const read_address = static_cast<char*>(return_address) - 1;
    char *target = static_cast<char*>(to), *source = static_cast<char*>(const_cast<void*>(from));
    for (size_t i = 0; i < bytes; i += step) watch(source + i, step, minisk_read, read_address);
    for (size_t i = 0; i < bytes; i += step) watch(target + i, step, minisk_write, return_address);
}

// ---- events that fibers.h and scheduler.h notify of ----

MINISK_UNWATCHED static void launch_begins(Bytes static_shared) {
    add_region(static_shared.start, static_shared.size, -2, true, true, nullptr);
    add_region(dynamic_shared.start, dynamic_shared.size, -1, true, true, nullptr);
    for (int i = 0; i < region_count; ++i) refine(regions[i], 4);
    now = last_barrier = block_number = 0;
    gap_count = 0;
    fences_begin_launch();
}

MINISK_UNWATCHED static void launch_ends() {
    for (int i = 0; i < region_count; ++i) free(regions[i].cells);
    region_count = 0;
    if (finding_count) report(*running, "the checker has %d findings", finding_count);
}

MINISK_UNWATCHED static void block_begins() {
    block_number = 1 + blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    last_barrier = ++now;
    fences_begin_block();
}

MINISK_UNWATCHED static void barrier_passed() {
    const unsigned before = last_barrier;
    last_barrier = ++now;
    fences_at_barrier(before);
}

// The lanes of the group have synchronised: each now comes after everything that any of them came after.
MINISK_UNWATCHED static void collective_completed(int first_thread, unsigned group) {
    unsigned known[32] = {};
    ++now;
    fences_at_collective(first_thread, group);
    for (int lane = 0; lane < 32; ++lane) {
        if (!(group >> lane & 1)) continue;
        const unsigned* knows = met[first_thread + lane];
        for (int other = 0; other < 32; ++other) known[other] = larger(known[other], knows[other]);
    }
    for (int lane = 0; lane < 32; ++lane) known[lane] = group >> lane & 1 ? now : known[lane];
    for (int lane = 0; lane < 32; ++lane) {
        if (group >> lane & 1) memcpy(met[first_thread + lane], known, sizeof known);
    }
}

MINISK_UNWATCHED static inline void watch_atomic(void* address, size_t bytes, void* return_address) {
    watch(address, bytes, minisk_atomic, return_address);
}

}  // namespace minisk

// Load or store a vector as one access, as a GPU does. The instrumentation would see one access per component.
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
// Called after the launch, for index 0, 1, … until they return 0.
MINISK_VISIBLE int minisk_check_finding(int index, minisk_finding* finding) {
    if (index >= minisk::finding_count) return 0;
    *finding = minisk::findings[index];
    return 1;
}
MINISK_VISIBLE int minisk_check_site(int index, minisk_site* site) {
    if (index >= minisk::site_count) return 0;
    *site = minisk::sites[index].result;
    return 1;
}

// ---- called by the instrumentation ----

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
MINISK_VISIBLE void __tsan_func_entry(void*) {}
MINISK_VISIBLE void __tsan_func_exit() {}
MINISK_VISIBLE void __tsan_init() {}
