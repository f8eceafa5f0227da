// shadow.h: shadow memory: for every cell of memory that a kernel may access, the last plain write, two reads and
// two atomic updates.
//
// It takes about twenty times the memory of the arrays, allocated page by page as they are accessed.
#pragma once
#include <cstdlib>

enum minisk_access { minisk_read, minisk_write, minisk_atomic };  // runtime/structures.py has the same values

namespace minisk {

// Used in place of std::max, which would be instrumented.
template <class T> MINISK_UNWATCHED static T larger(T a, T b) { return a < b ? b : a; }

// One access, as later ones are compared with it. block: counted from 1; 0 for no access.
struct Record {
    unsigned block, time, address;
    uint16_t thread;
    uint8_t access;
};

// write: the last plain one. A later plain write must not hide an atomic update, nor an update a plain write.
struct Cell { Record write, reads[2], atomics[2]; };

// Memory that a kernel may access, in cells as small as the smallest access so far.
struct Region {
    uintptr_t start;
    size_t bytes;
    int array;
    bool is_shared, is_writable;
    unsigned char* initialised;  // a byte for each byte, 0 if uninitialised; null if all are initialised
    unsigned unit;
    Cell* cells;

    MINISK_UNWATCHED bool holds(uintptr_t address, size_t size) const {
        return address - start < bytes && size <= bytes - (address - start);
    }
};

constexpr int most_regions = 128;
static Region regions[most_regions];
static int region_count;

MINISK_UNWATCHED static void add_region(void* start, size_t bytes, int array, bool is_shared, bool is_writable,
                                        unsigned char* initialised) {
    if (region_count == most_regions || bytes == 0) return;
    regions[region_count++] = {uintptr_t(start), bytes, array, is_shared, is_writable, initialised, 0, nullptr};
}

// Splits every cell of a region into cells of `unit` bytes, when an access of that size comes.
MINISK_UNWATCHED static void refine(Region& region, unsigned unit) {
    const size_t cells = (region.bytes + unit - 1) / unit, factor = region.unit / unit;
    Cell* finer = static_cast<Cell*>(calloc(cells, sizeof(Cell)));
    if (finer && region.cells) {
        for (size_t i = 0; i < cells; ++i) finer[i] = region.cells[i / factor];
    }
    free(region.cells);
    region.cells = finer;
    region.unit = unit;
}

MINISK_UNWATCHED static Region* region_of(uintptr_t address, size_t bytes) {
    for (int i = 0; i < region_count; ++i) {
        if (regions[i].holds(address, bytes)) return &regions[i];
    }
    return nullptr;
}

// The gaps between __shared__ arrays, which belong to no array.
static char* gaps[most_regions];
static int gap_count;

MINISK_UNWATCHED static bool is_in_gap(uintptr_t address) {
    for (int i = 0; i < gap_count; ++i) {
        if (address - uintptr_t(gaps[i]) < 256) return true;
    }
    return false;
}

MINISK_UNWATCHED static inline void keep_clear(char* gap) {
    if (!is_in_gap(uintptr_t(gap)) && gap_count < most_regions) gaps[gap_count++] = gap;
}

// Returns the region whose start or end is closest: probably the array that was intended.
MINISK_UNWATCHED static const Region& nearest_region(uintptr_t address) {
    const Region* nearest = &regions[0];
    auto distance = [address](const Region& region) MINISK_UNWATCHED {
        const uintptr_t end = region.start + region.bytes;
        return address < region.start ? region.start - address : larger(address, end) - end;
    };
    for (int i = 1; i < region_count; ++i) {
        if (distance(regions[i]) < distance(*nearest)) nearest = &regions[i];
    }
    return *nearest;
}

}  // namespace minisk
