// shadow.h: shadow memory: for every cell of memory that a kernel may access, the accesses that later ones can race with.
//
// A cell of 4 bytes has a record of 16 bytes: the last plain write and one read. Only where several threads read without
// an order between them, or update atomically, does a cell get a Crowd. Bytes get cells of their own when they are
// accessed one by one. The memory is allocated page by page as it is accessed.
#pragma once
#include <cstdlib>

enum minisk_access { minisk_read, minisk_write, minisk_atomic };  // runtime/structures.py has the same values

namespace minisk {

// Used in place of std::max, which would be instrumented.
template <class T> MINISK_UNWATCHED static T larger(T a, T b) { return a < b ? b : a; }

constexpr unsigned in_crowd = 3;  // the `access` of a Record that stands for a Crowd; `time` is its number

// One access, as later ones are compared with it. time: 0 for no access. Blocks run one after the other and no two share
// a time, so the time also says which block (order.h). site: the number of a place in the source (counters.h).
struct Record {
    unsigned time;
    unsigned thread : 10, site : 12, access : 2, is_exchange : 1;  // is_exchange: an atomicCAS
};

struct Cell { Record write, read; };

// Lanes of one warp that accessed a cell at the same time, from the same place.
struct Group {
    unsigned time, lanes;
    uint16_t warp, site;
};

// The accesses to a cell that a single record does not hold.
struct Crowd { Group reads[3], atomics[2]; };
static Crowd* crowds;
static unsigned crowd_count = 1, crowd_room;  // number 0 is not used

// Returns the number of a copy of `crowd`; 0 if there is no memory.
MINISK_UNWATCHED static unsigned add_crowd(const Crowd& crowd) {
    if (crowd_count >= crowd_room) {
        const Crowd copied = crowd;  // it may lie in the memory that moves
        void* const grown = realloc(crowds, (2 * crowd_room + 1024) * sizeof(Crowd));
        if (!grown) return 0;
        crowds = static_cast<Crowd*>(grown);
        crowd_room = 2 * crowd_room + 1024;
        crowds[crowd_count] = copied;
        return crowd_count++;
    }
    crowds[crowd_count] = crowd;
    return crowd_count++;
}

MINISK_UNWATCHED static bool has_crowd(const Cell& cell) { return cell.read.access == in_crowd; }

// Memory that a kernel may access, in cells as small as the smallest access so far.
struct Region {
    uintptr_t start;
    size_t bytes;
    int array;           // as in minisk_finding
    bool is_shared, is_writable;
    unsigned char* initialised;  // a byte for each byte, 0 if uninitialised; null if all are initialised
    unsigned unit;
    Cell* cells;
    bool is_used;

    MINISK_UNWATCHED bool holds(uintptr_t address, size_t size) const {
        return address - start < bytes && size <= bytes - (address - start);
    }
};

constexpr int most_regions = 512;
static Region regions[most_regions];
static int region_count;

MINISK_UNWATCHED static void add_region(void* start, size_t bytes, int array, bool is_shared, bool is_writable,
                                        unsigned char* initialised) {
    if (region_count == most_regions || bytes == 0) return;
    regions[region_count++] = {uintptr_t(start), bytes, array, is_shared, is_writable, initialised, 0, nullptr, false};
}

// Splits every cell of a region into cells of `unit` bytes, when an access of that size comes.
MINISK_UNWATCHED static void refine(Region& region, unsigned unit) {
    const size_t cells = (region.bytes + unit - 1) / unit, factor = region.unit / unit;
    Cell* finer = static_cast<Cell*>(calloc(cells, sizeof(Cell)));
    if (finer && region.is_used) {
        for (size_t i = 0; i < cells; ++i) {
            finer[i] = region.cells[i / factor];
            if (has_crowd(finer[i]) && i % factor) finer[i].read.time = add_crowd(crowds[finer[i].read.time]);
        }
    }
    free(region.cells);
    region.cells = finer;
    region.unit = unit;
}

MINISK_UNWATCHED static void free_shadow() {
    for (int i = 0; i < region_count; ++i) free(regions[i].cells);
    free(crowds);
    crowds = nullptr;
    crowd_count = 1;
    region_count = crowd_room = 0;
}

MINISK_UNWATCHED static Region* region_of(uintptr_t address, size_t bytes) {
    for (int i = 0; i < region_count; ++i) {
        if (regions[i].holds(address, bytes)) return &regions[i];
    }
    return nullptr;
}

// Returns the region whose start or end is closest, probably the array that was intended; null if none is within 1 MiB.
MINISK_UNWATCHED static const Region* nearest_region(uintptr_t address) {
    const Region* nearest = nullptr;
    uintptr_t least = 1 << 20;
    for (int i = 0; i < region_count; ++i) {
        const uintptr_t start = regions[i].start, end = start + regions[i].bytes;
        const uintptr_t distance = address < start ? start - address : larger(address, end) - end;
        if (distance >= least) continue;
        nearest = &regions[i];
        least = distance;
    }
    return nearest;
}

}  // namespace minisk
