// findings.h: the list of mistakes that a checked launch made, as Python fetches it.
#pragma once
#include "counters.h"
#include "order.h"

// runtime/structures.py has the same values and fields.
enum minisk_kind {
    minisk_out_of_bounds, minisk_misaligned, minisk_race, minisk_uninitialised, minisk_read_only,
    minisk_undefined_behaviour, minisk_synchronisation, minisk_same_value
};

// One access: `address` is the call's offset in the library, for addr2line -i; `caller` that of the call of the function
// that holds it, or 0.
struct minisk_accessor {
    uint64_t address, caller;
    unsigned block[3], thread[3];
    int access;  // minisk_access
};

struct minisk_finding {
    int kind;                     // minisk_kind
    int is_hint;                  // a GPU executes it as meant
    int array;                    // argument index; −1 dynamic shared memory; −2 − k object k; −2³⁰ none
    int64_t offset;               // bytes from the array's start
    unsigned bytes;               // size of the access
    uint64_t count;               // occurrences from the same lines
    minisk_accessor here, other;  // other: the earlier access, if it is a race
    char text[512];               // a sentence about it, or ""
};

namespace minisk {

constexpr int most_findings = 20, no_array = -(1 << 30);

struct Found {
    minisk_finding result;
    unsigned site, other_site;
};
static Found findings[most_findings];
static int finding_count;

static uint64_t last_caller;  // of the last watched access

MINISK_UNWATCHED static void locate(const Record& record, uint64_t caller, minisk_accessor& accessor) {
    const uint3 block = position(block_at(record.time), gridDim), thread = fibers[record.thread].index;
    const uint64_t address = sites[record.site].result.address;
    accessor = {address, caller, {block.x, block.y, block.z}, {thread.x, thread.y, thread.z}, int(record.access)};
}

// Adds a finding. Those of one kind from the same lines are counted as one; at most 20 are kept.
MINISK_UNWATCHED static minisk_finding* find(minisk_kind kind, const Region* region, uintptr_t address, size_t bytes,
                                             const Record& here, const Record& other = {}) {
    for (int i = 0; i < finding_count; ++i) {
        Found& known = findings[i];
        const bool has_other = known.result.other.address != 0;
        const bool same_lines = known.site == here.site && has_other == (other.time != 0) &&
                                (!has_other || known.other_site == other.site);
        if (known.result.kind != kind || !same_lines || known.result.text[0]) continue;
        ++known.result.count;
        return nullptr;
    }
    if (finding_count == most_findings) return nullptr;
    Found& found = findings[finding_count++];
    found = {{}, here.site, other.site};
    minisk_finding& result = found.result;
    result.kind = kind;
    result.is_hint = kind == minisk_same_value;
    result.array = region ? region->array : no_array;
    result.offset = region ? int64_t(address - region->start) : int64_t(address);
    result.bytes = unsigned(bytes);
    result.count = 1;
    locate(here, last_caller, result.here);
    if (other.time) locate(other, sites[other.site].has_callers ? 0 : sites[other.site].caller, result.other);
    return &result;
}

// Whether two sentences begin with the same place: "kernel.cu:7: …".
MINISK_UNWATCHED static bool same_place(const char* a, const char* b) {
    const char* const end = strstr(a, ": ");
    return end && !strncmp(a, b, end + 2 - a);
}

// Adds a finding that is a sentence. return_address: of the call at the place of the mistake; null if the sentence
// begins with the place. Those of one kind at one place are counted as one.
__attribute__((format(printf, 4, 5))) MINISK_UNWATCHED static void find_text(minisk_kind kind, bool is_hint,
                                                                            void* return_address, const char* format, ...) {
    const uint64_t address = call_before(return_address);
    minisk_finding finding{};
    va_list values;
    va_start(values, format);
    vsnprintf(finding.text, sizeof finding.text, format, values);
    va_end(values);
    for (int i = 0; i < finding_count; ++i) {
        minisk_finding& known = findings[i].result;
        const bool is_same = address ? known.here.address == address : same_place(known.text, finding.text);
        if (known.kind == kind && known.text[0] && is_same) return void(++known.count);
    }
    if (finding_count == most_findings) return;
    finding.kind = kind;
    finding.is_hint = is_hint;
    finding.array = no_array;
    finding.count = 1;
    if (current != no_thread) {
        const uint3 thread = fibers[current].index;
        finding.here = {address, address ? caller() : 0, {blockIdx.x, blockIdx.y, blockIdx.z},
                        {thread.x, thread.y, thread.z}, minisk_read};
    }
    findings[finding_count++] = {finding, 0, 0};
}

// Whether a finding is a race of an atomicCAS with a plain read that guesses the old value: the exchange fails if the
// guess is wrong. Or a hint about writes that are races in another request.
MINISK_UNWATCHED static bool is_forgiven(const Found& found) {
    const Site &here = sites[found.site], &other = sites[found.other_site];
    if (found.result.kind == minisk_race)
        return (here.is_guess && other.is_exchange) || (here.is_exchange && other.is_guess);
    if (found.result.kind != minisk_same_value) return false;
    for (int i = 0; i < finding_count; ++i) {
        const bool is_race = findings[i].result.kind == minisk_race;
        if (is_race && findings[i].site == found.site && findings[i].other_site == found.other_site) return true;
    }
    return false;
}

MINISK_UNWATCHED static void remove_forgiven() {
    static Found kept[most_findings];
    int count = 0;
    for (int i = 0; i < finding_count; ++i) {
        if (!is_forgiven(findings[i])) kept[count++] = findings[i];
    }
    memcpy(findings, kept, sizeof kept);
    finding_count = count;
}

// Ends the launch: the calling fiber is never resumed.
MINISK_UNWATCHED static void stop(const char* reason) {
    report(*running, "stopped before %s: see the findings", reason);
    wait(State::ready, {});
}

}  // namespace minisk
