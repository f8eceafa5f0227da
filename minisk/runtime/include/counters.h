// counters.h: count the memory transactions that a kernel's accesses cost, line by line, as a GPU profiler does.
//
// The lanes of a warp access memory together: the k-th access of each lane from one place in the source is one request.
// Fibers run one by one, so requests are assembled here, in a window of each place's next 32 accesses. A lane that has
// filled the window waits for the other lanes.
//
//   global   a request moves 32-byte sectors; the least possible number is its distinct bytes / 32
//   shared   memory has 32 banks of 4 bytes; a request takes one wavefront for each different word within one bank
//
// Source: NVIDIA, CUDA C++ Best Practices Guide, "Coalesced Access to Global Memory", "Shared Memory and Memory Banks".
#pragma once
#include "shadow.h"

extern "C" struct minisk_site {
    uint64_t address;  // the access, as an offset in the library, for addr2line -i
    int array;         // as in minisk_finding; negative: shared memory, whose transactions are wavefronts, not sectors
    int access;        // minisk_access
    unsigned bytes;    // per lane
    uint64_t requests, lanes, transactions, least_transactions;
    uint64_t block_bytes;  // distinct bytes that a block accesses, summed over blocks; in a global array
    // The costliest request: each lane's offset in bytes from the array's start; −1 for a lane that took no part.
    int64_t example[32];
};

namespace minisk {

constexpr int window = 32, most_sites = 1024;

struct Request {
    unsigned lanes;  // a bit for each lane that takes part
    uint64_t offset[32];  // from the array's start: on a GPU that is a multiple of 256 bytes, here not always
};

// The calls in progress in each thread, outermost first: the return addresses that -fsanitize=thread gives.
constexpr int most_calls = 16;
struct Calls {
    void* from[most_calls];
    int depth;
};
static Calls calls[most_threads];

// Returns the offset in the library of a call, for addr2line: one byte before its return address. 0 for no call.
MINISK_UNWATCHED static uint64_t call_before(void* return_address) {
    return return_address ? uintptr_t(return_address) - 1 - uintptr_t(__ehdr_start) : 0;
}
// Returns the call of the function that the running thread is in; 0 if it is not known.
MINISK_UNWATCHED static uint64_t caller() {
    const Calls& mine = calls[current];
    return mine.depth > 0 && mine.depth <= most_calls ? call_before(mine.from[mine.depth - 1]) : 0;
}

// A place in the source that accesses memory.
struct Site {
    minisk_site result;
    uint64_t caller;                // the call of the function that holds it, if it is always the same
    bool has_callers;               // it is not
    Region* region;
    int64_t worst_excess;
    bool is_exchange, is_guess;     // an atomicCAS; a plain read whose value an atomicCAS compares with
    unsigned filled;                // requests in the window: the largest count of a lane
    uint8_t count[32];              // requests that each lane takes part in
    Request requests[window];
};

static Site sites[most_sites];
static int site_count;
static Site* site_table[2 * most_sites];  // open addressing, by address

MINISK_UNWATCHED static Site& site_at(uint64_t address) {
    unsigned slot = unsigned(address * 0x9e3779b97f4a7c15u >> 40) % (2 * most_sites);
    while (site_table[slot] && site_table[slot]->result.address != address) slot = (slot + 1) % (2 * most_sites);
    if (!site_table[slot]) {
        if (site_count == most_sites) {
            report(*running, "more than %d places in the source access memory", most_sites);
            return sites[0];
        }
        site_table[slot] = &sites[site_count++];
        site_table[slot]->result.address = address;
        site_table[slot]->worst_excess = -1;
    }
    return *site_table[slot];
}

MINISK_UNWATCHED static void note_caller(Site& site, uint64_t caller) {
    site.has_callers |= site.caller && site.caller != caller;
    site.caller = caller;
}

MINISK_UNWATCHED static void wait_for_room(const Site& site) {
    while (site.count[lane()] == window) wait(State::ready, {});
}

MINISK_UNWATCHED static void count_access(Site& site, uint64_t offset, unsigned bytes, int access, unsigned new_bytes) {
    const int me = lane(), position = site.count[me]++;
    if (position >= int(site.filled)) site.requests[site.filled++].lanes = 0;
    site.requests[position].lanes |= 1u << me;
    site.requests[position].offset[me] = offset;
    site.result.bytes = bytes;
    site.result.access = access;
    site.result.block_bytes += new_bytes;
}

// ---- the cost of a request ----

struct Cost { unsigned transactions, least; };

MINISK_UNWATCHED static int sorted_offsets(const Request& request, unsigned lanes, uint64_t* sorted) {
    int count = 0;
    for (int lane = 0; lane < 32; ++lane) {
        if (!(request.lanes & lanes & 1u << lane)) continue;
        int place = count++;
        for (; place > 0 && sorted[place - 1] > request.offset[lane]; --place) sorted[place] = sorted[place - 1];
        sorted[place] = request.offset[lane];
    }
    return count;
}

MINISK_UNWATCHED static Cost sectors(const Request& request, unsigned bytes) {
    uint64_t offset[32], covered = 0, next_sector = 0;
    const int count = sorted_offsets(request, ~0u, offset);
    unsigned distinct_bytes = 0, transactions = 0;
    for (int i = 0; i < count; ++i) {
        const uint64_t end = offset[i] + bytes, last_sector = (end - 1) / 32;
        if (end > covered) distinct_bytes += unsigned(end - larger(offset[i], covered));
        covered = end;
        next_sector = larger(next_sector, offset[i] / 32);
        transactions += unsigned(last_sector + 1 - next_sector);
        next_sector = last_sector + 1;
    }
    return {transactions, (distinct_bytes + 31) / 32};
}

// Accesses wider than 4 bytes are served in groups of lanes: 16 lanes of 8 bytes, 8 lanes of 16 bytes.
MINISK_UNWATCHED static Cost wavefronts(const Request& request, unsigned bytes) {
    const unsigned words = larger(1u, bytes / 4), together = 32 / words;
    Cost cost{0, 0};
    for (unsigned first = 0; first < 32; first += together) {
        uint64_t offset[32], next_word = 0;
        const int count = sorted_offsets(request, (~0u >> (32 - together)) << first, offset);
        unsigned in_bank[32] = {}, most = 0;
        for (int i = 0; i < count; ++i) {
            const uint64_t end = offset[i] / 4 + words;
            for (next_word = larger(next_word, offset[i] / 4); next_word < end; ++next_word)
                most = larger(most, ++in_bank[next_word % 32]);
        }
        cost.transactions += most;
        cost.least += count > 0;
    }
    return cost;
}

MINISK_UNWATCHED static void count_request(Site& site, const Request& request) {
    minisk_site& result = site.result;
    const Region& region = *site.region;
    const Cost cost = region.is_shared ? wavefronts(request, result.bytes) : sectors(request, result.bytes);
    result.array = region.array;
    result.requests += 1;
    result.lanes += __builtin_popcount(request.lanes);
    result.transactions += cost.transactions;
    result.least_transactions += cost.least;
    const int64_t excess = int64_t(cost.transactions) - cost.least;
    if (excess <= site.worst_excess) return;
    site.worst_excess = excess;
    for (int lane = 0; lane < 32; ++lane)
        result.example[lane] = request.lanes >> lane & 1 ? int64_t(request.offset[lane]) : -1;
}

// Counts the requests in all windows. They are complete when the lanes of a warp have run as far as they can.
MINISK_UNWATCHED static void close_requests() {
    for (int i = 0; i < site_count; ++i) {
        Site& site = sites[i];
        if (site.filled == 0) continue;
        for (unsigned position = 0; position < site.filled; ++position) count_request(site, site.requests[position]);
        memset(site.count, 0, sizeof site.count);
        site.filled = 0;
    }
}

MINISK_UNWATCHED static void forget_sites() {
    for (int i = 0; i < site_count; ++i) sites[i] = {};
    memset(site_table, 0, sizeof site_table);
    site_count = 0;
}

}  // namespace minisk
