// place.h: lines of a kernel source, for error messages, and to distinguish collectives.
#pragma once

namespace minisk {

// A line of a kernel's source. As a function's default argument, here() is the line of the call.
struct Place {
    const char* file;
    int line;
    static constexpr Place here(const char* f = __builtin_FILE(), int l = __builtin_LINE()) { return {f, l}; }
};

}  // namespace minisk

#define MINISK_HERE minisk::Place place = minisk::Place::here()
