// warp.h: the warp collectives of CUDA, built from three functions of the executor: lane, from_lane, ballot.
//
// `mask` has a bit for each lane that takes part; `width` divides the warp into segments that exchange separately.
#pragma once

namespace minisk {

static int lane();  // of the running thread, 0 to 31
template <class T> static T from_lane(unsigned mask, T value, int source, Place place);  // the value of lane `source`
static unsigned ballot(unsigned mask, bool vote, Place place);                           // a bit for each true vote

static inline int segment(int width) { return lane() & ~(width - 1); }

}  // namespace minisk

template <class T> static inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, MINISK_HERE) {
    return minisk::from_lane(mask, value, minisk::segment(width) + (source & (width - 1)), place);
}

// In the next three, a lane whose partner lies outside its segment gets its own value.
template <class T> static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, MINISK_HERE) {
    const int source = minisk::lane() - int(delta);
    return minisk::from_lane(mask, value, source < minisk::segment(width) ? minisk::lane() : source, place);
}

template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, MINISK_HERE) {
    const int source = minisk::lane() + int(delta);
    return minisk::from_lane(mask, value, source >= minisk::segment(width) + width ? minisk::lane() : source, place);
}

template <class T> static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, MINISK_HERE) {
    const int source = minisk::lane() ^ bits;
    return minisk::from_lane(mask, value, source >= minisk::segment(width) + width ? minisk::lane() : source, place);
}

static inline unsigned __ballot_sync(unsigned mask, bool vote, MINISK_HERE) {
    return minisk::ballot(mask, vote, place);
}
static inline int __any_sync(unsigned mask, bool vote, MINISK_HERE) {
    return minisk::ballot(mask, vote, place) != 0;
}
static inline int __all_sync(unsigned mask, bool vote, MINISK_HERE) {
    return minisk::ballot(mask, !vote, place) == 0;
}
