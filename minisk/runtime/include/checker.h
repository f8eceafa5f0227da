// checker.h: mode "check": every memory access of a kernel is checked, as NVIDIA's compute-sanitizer does on a GPU.
//
// The compiler's -fsanitize=thread inserts a call before each load and store; this file defines the functions called.
// For each cell of global and shared memory they record the last plain write, reads and atomic updates, with thread,
// source line and a logical time. These suffice to find, independently of the order of execution:
//
//   out of bounds, misaligned   the launch stops there: the access itself could crash
//   race                        two accesses with no barrier, __syncwarp or fence between, one a write, not both atomic
//   uninitialised               a read of shared memory not written by this block, or of an unwritten output array
//
// Python registers arrays and variables first (minisk_check_array, minisk_check_object), launches, then fetches findings
// and, from counters.h, sites.
#pragma once
#include "findings.h"

namespace minisk {

// ---- the value of the last plain write, known once the next event comes ----

// A write in the order of the program is checked before its value is stored.
struct Pending {
    const Region* region;
    uintptr_t address;
    size_t bytes;
    Record mine, rival;        // rival: another lane's write of the same request, or time 0
    unsigned char before[16];  // the value that the rival wrote
};
static Pending pending;

// Every byte of a variable that is never set (-ftrivial-auto-var-init=pattern).
MINISK_UNWATCHED static bool is_never_set(const unsigned char* bytes, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        if (bytes[i] != 0xfe) return false;
    }
    return count >= 4;
}

MINISK_UNWATCHED static void settle() {
    if (!pending.region) return;
    const auto value = reinterpret_cast<const unsigned char*>(pending.address);
    if (pending.rival.time) {
        const bool is_same = !memcmp(value, pending.before, pending.bytes);
        const minisk_kind kind = is_same ? minisk_same_value : minisk_race;
        find(kind, pending.region, pending.address, pending.bytes, pending.mine, pending.rival);
    }
    if (*value == 0xfe && is_never_set(value, pending.bytes))
        find(minisk_uninitialised, pending.region, pending.address, pending.bytes, pending.mine);
    pending.region = nullptr;
    pending.rival.time = 0;
}

// ---- one access ----

MINISK_UNWATCHED static bool is_written(const Cell& cell) {
    if (is_mine(cell.write.time)) return true;
    if (!has_crowd(cell)) return false;
    const Crowd& crowd = crowds[cell.read.time];
    return is_mine(crowd.atomics[0].time) || is_mine(crowd.atomics[1].time);
}

MINISK_UNWATCHED static bool is_read(const Cell& cell) {
    if (!has_crowd(cell)) return is_mine(cell.read.time);
    for (const Group& group : crowds[cell.read.time].reads) {
        if (is_mine(group.time)) return true;
    }
    return false;
}

// Whether some byte is initialised. The others may be padding: copying it is no mistake.
MINISK_UNWATCHED static bool is_initialised(const Region& region, const Cell* cell, uintptr_t address, size_t bytes) {
    if (region.is_shared) {
        for (size_t i = 0; i * region.unit < bytes; ++i) {
            if (is_written(cell[i])) return true;
        }
        return false;
    }
    return !region.initialised || memchr(region.initialised + (address - region.start), 1, bytes);
}

// Returns an earlier access to the cell that races with this one; time 0 if there is none.
MINISK_UNWATCHED static Record rival_of(const Cell& cell, const Record& mine, bool is_shared) {
    if (races(cell.write, is_shared)) return cell.write;
    if (!has_crowd(cell)) {
        const bool is_rival = mine.access != minisk_read && races(cell.read, is_shared);
        return is_rival ? cell.read : Record{};
    }
    const Crowd& crowd = crowds[cell.read.time];
    if (mine.access != minisk_atomic) {
        const Record update = rival_among(crowd.atomics, minisk_atomic, is_shared);
        if (update.time) return update;
    }
    return mine.access == minisk_read ? Record{} : rival_among(crowd.reads, minisk_read, is_shared);
}

MINISK_UNWATCHED static void record_read(Cell& cell, const Record& mine, const Region& region) {
    const bool is_spare = is_over(cell.read.time, region.is_shared) || !region.is_writable;
    if (!has_crowd(cell)) {
        if (is_spare || is_before_me(cell.read)) return void(cell.read = mine);
        const Record& known = cell.read;
        const Group group{known.time, 1u << known.thread % 32, uint16_t(known.thread / 32), uint16_t(known.site)};
        cell.read.time = add_crowd({{group}, {}});
        if (!cell.read.time) return void(cell.read = mine);
        cell.read.access = in_crowd;
    }
    join(crowds[cell.read.time].reads, mine, region.is_shared);
}

MINISK_UNWATCHED static void record_update(Cell& cell, const Record& mine, const Region& region) {
    if (!has_crowd(cell)) {
        const Record& known = cell.read;
        Crowd crowd{};
        if (known.time)
            crowd.reads[0] = {known.time, 1u << known.thread % 32, uint16_t(known.thread / 32), uint16_t(known.site)};
        cell.read.time = add_crowd(crowd);
        if (!cell.read.time) return;
        cell.read.access = in_crowd;
    }
    join(crowds[cell.read.time].atomics, mine, region.is_shared);
}

// Two lanes of a warp write in one request: one of the writes is done.
MINISK_UNWATCHED static bool is_one_request(const Record& a, const Record& b) {
    return a.access == minisk_write && b.access == minisk_write && a.time == b.time && a.site == b.site &&
           a.thread / 32 == b.thread / 32;
}

// Finds races with earlier accesses to the cell, and records this one. Returns true if it is this block's first of its
// kind (read or write).
MINISK_UNWATCHED static bool visit(Cell& cell, const Record& mine, const Region& region, uintptr_t address,
                                   size_t bytes, bool is_range) {
    const Record rival = rival_of(cell, mine, region.is_shared);
    if (rival.time) {
        if (!is_range && is_one_request(rival, mine)) {
            pending.rival = rival;
            memcpy(pending.before, reinterpret_cast<const void*>(address), bytes);
        } else {
            find(minisk_race, &region, address, bytes, mine, rival);
        }
    }
    const bool first = mine.access == minisk_read ? !is_read(cell) : !is_written(cell);
    if (mine.access == minisk_read) record_read(cell, mine, region);
    else if (mine.access == minisk_atomic) record_update(cell, mine, region);
    else cell.write = mine;
    return first;
}

MINISK_UNWATCHED static bool is_local(uintptr_t address) {
    return address - uintptr_t(stack_of(current)) < stack_bytes;
}

// Returns the region of an access. An access outside all regions ends the launch.
MINISK_UNWATCHED static Region* accessed_region(Site& site, uintptr_t address, size_t bytes, const Record& mine) {
    if (site.region && site.region->holds(address, bytes)) return site.region;
    if (Region* const region = region_of(address, bytes)) return region;
    const Region* const nearest = nearest_region(address);
    find(minisk_out_of_bounds, nearest || !site.region ? nearest : site.region, address, bytes, mine);
    stop("an out-of-bounds access");
    return nullptr;
}

// Checks one access of the running thread. is_range: one of many steps, before any of them is done.
MINISK_UNWATCHED static Region* watch(void* pointer, size_t bytes, minisk_access access, void* return_address,
                                      bool is_range = false) {
    const uintptr_t address = uintptr_t(pointer);
    if (current == no_thread || is_local(address)) return nullptr;
    if (is_in_library(address) && !region_of(address, bytes)) return nullptr;  // threadIdx, constants of the compiler
    last_access = return_address;
    settle();
    Site& site = site_at(call_before(return_address));
    wait_for_room(site);
    last_caller = caller();
    note_caller(site, last_caller);
    const Record mine{now, unsigned(current), unsigned(&site - sites), unsigned(access)};

    Region* const region = accessed_region(site, address, bytes, mine);
    if (address % bytes) {
        find(minisk_misaligned, region, address, bytes, mine);
        stop("a misaligned access");
    }
    if (bytes < region->unit) refine(*region, unsigned(bytes));
    if (!region->cells) {
        report(*running, "no memory to watch an array of %zu bytes", region->bytes);
        return nullptr;
    }
    region->is_used = true;
    Cell* cell = region->cells + (address - region->start) / region->unit;
    if (access != minisk_read && !region->is_writable) find(minisk_read_only, region, address, bytes, mine);
    if (access != minisk_write && !is_initialised(*region, cell, address, bytes))
        find(minisk_uninitialised, region, address, bytes, mine);
    if (access != minisk_read && region->initialised) memset(region->initialised + (address - region->start), 1, bytes);
    unsigned new_bytes = 0;
    for (size_t i = 0; i * region->unit < bytes; ++i) {
        if (visit(cell[i], mine, *region, address, bytes, is_range)) new_bytes += region->unit;
    }
    if (access == minisk_write && !is_range) {
        pending.region = region;
        pending.address = address;
        pending.bytes = bytes;
        pending.mine = mine;
    }
    if (access != minisk_atomic) let_others_run(pointer, access == minisk_read, 1000000, return_address);
    site.region = region;
    count_access(site, address - region->start, unsigned(bytes), access, new_bytes);
    return region;
}

// ---- atomic updates ----

// Marks the places whose reads of the cell by this thread are guesses of an atomicCAS.
MINISK_UNWATCHED static void mark_guesses(const Cell& cell) {
    if (!has_crowd(cell)) {
        if (is_mine(cell.read.time) && int(cell.read.thread) == current) sites[cell.read.site].is_guess = true;
        return;
    }
    for (const Group& group : crowds[cell.read.time].reads) {
        if (is_mine(group.time) && group.warp == current / 32 && group.lanes >> current % 32 & 1)
            sites[group.site].is_guess = true;
    }
}

MINISK_UNWATCHED static inline void watch_atomic(void* address, size_t bytes, bool is_exchange, void* return_address) {
    const Region* const region = watch(address, bytes, minisk_atomic, return_address);
    if (region && is_exchange) {
        site_at(call_before(return_address)).is_exchange = true;
        mark_guesses(region->cells[(uintptr_t(address) - region->start) / region->unit]);
    }
    if (region) order_by_update(uintptr_t(address));
}

// ---- memcpy, memmove, memset: the instrumentation does not see these functions of C ----

MINISK_UNWATCHED static void watch_range(void* start, size_t bytes, minisk_access access, void* return_address) {
    const size_t step = (uintptr_t(start) | bytes) % 4 ? 1 : 4;
    for (size_t i = 0; i < bytes; i += step) watch(static_cast<char*>(start) + i, step, access, return_address, true);
}

// The read counts as a place of its own, one byte before the write's: still within the call, so on the same line.
MINISK_UNWATCHED static void watch_copy(void* to, const void* from, size_t bytes, void* return_address) {
    const size_t step = (uintptr_t(to) | uintptr_t(from) | bytes) % 4 ? 1 : 4;
    char* const read_address = static_cast<char*>(return_address) - 1;
    char *target = static_cast<char*>(to), *source = static_cast<char*>(const_cast<void*>(from));
    for (size_t i = 0; i < bytes; i += step) watch(source + i, step, minisk_read, read_address, true);
    for (size_t i = 0; i < bytes; i += step) watch(target + i, step, minisk_write, return_address, true);
}

// ---- events that fibers.h and scheduler.h notify of ----

MINISK_UNWATCHED static void launch_begins() {
    add_region(dynamic_shared.start, dynamic_shared.size, -1, true, true, nullptr);
    for (int i = 0; i < region_count; ++i) refine(regions[i], 4);
    pending = {};
    memset(calls, 0, sizeof calls);
    order_begins_launch();
}

MINISK_UNWATCHED static void launch_ends() {
    settle();
    remove_forgiven();
    free_shadow();
    if (finding_count) report(*running, "the checker has findings");
}

// On a GPU, shared memory is undefined when a block begins.
MINISK_UNWATCHED static void block_begins() {
    for (int i = 0; i < region_count; ++i) {
        if (regions[i].is_shared) memset(reinterpret_cast<void*>(regions[i].start), 0xff, regions[i].bytes);
    }
    order_begins_block(blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z));
}

MINISK_UNWATCHED static void barrier_passed() { order_at_barrier(); }
MINISK_UNWATCHED static void syncwarp_completed(int first_thread, unsigned group) {
    order_at_syncwarp(first_thread, group);
}

MINISK_UNWATCHED static void find_synchronisation(bool is_hint, const char* text) {
    find_text(minisk_synchronisation, is_hint, nullptr, "%s", text);
}

}  // namespace minisk

#include "instrumentation.h"
#include "undefined.h"
