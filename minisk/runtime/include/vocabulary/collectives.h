// collectives.h: barriers that count votes, and warp functions beyond shuffles and votes, built from warp.h.
//
// They return what a GPU returns, but slowly: a match or a reduction takes one exchange for each lane.
#pragma once

namespace minisk {

#ifdef MINISK_ONE_THREAD
static int count_votes(bool vote, Place) { return vote; }
static unsigned lanes_here(Place place) { throw CannotRun{place, needs_full_warp}; }
static void end_by_trap(Place place) { throw CannotRun{place, "__trap ends the launch"}; }
#else
// Between the two barriers, the votes do not change.
MINISK_UNWATCHED static int count_votes(bool vote, Place place) {
    fibers[current].vote = vote;
    __syncthreads(place);
    int votes = 0;
    for (int thread = 0; thread < threads; ++thread)
        votes += fibers[thread].vote && fibers[thread].state != State::exited;
    __syncthreads(place);
    return votes;
}

// Returns a bit for each lane of the warp that reaches this line before all lanes wait somewhere. The mask 0 names no
// lane, so the scheduler waits for none.
MINISK_UNWATCHED static unsigned lanes_here(Place place) {
    Fiber& fiber = fibers[current];
    fiber.mask = 0;
    fiber.is_barrier = false;
    fiber.source = lane();
    fiber.vote = true;
    wait(State::at_collective, place);
    return fiber.votes;
}

MINISK_UNWATCHED static void end_by_trap(Place place) {
    const auto [x, y, z] = fibers[current].index;
    report(*running, "%s:%d: thread (%u,%u,%u) of block (%u,%u,%u) calls __trap", file_name(place), place.line, x, y,
           z, blockIdx.x, blockIdx.y, blockIdx.z);
    wait(State::exited, {});
}
#endif

// Calls visit(lane, value of that lane) for each lane that takes part, upwards. Lanes that have exited do not.
template <class T, class Visit> static void for_each_lane(unsigned mask, T value, Place place, Visit visit) {
    const unsigned present = ballot(mask, true, place);
    for (int lane = 0; lane < 32; ++lane) {
        if (present >> lane & 1) visit(lane, from_lane(mask, value, lane, place));
    }
}

// Combines the values of the lanes upwards, from the lowest lane's.
template <class T, class Combine> static T reduce(unsigned mask, T value, Place place, Combine combine) {
    bool is_first = true;
    T total = value;
    for_each_lane(mask, value, place, [&](int, T other) {
        total = is_first ? other : combine(total, other);
        is_first = false;
    });
    return total;
}

}  // namespace minisk

// ---- barriers ----

MINISK_IF_CALLED int __syncthreads_count(int vote, MINISK_HERE) { return minisk::count_votes(vote, place); }
MINISK_IF_CALLED int __syncthreads_or(int vote, MINISK_HERE) { return minisk::count_votes(vote, place) != 0; }
MINISK_IF_CALLED int __syncthreads_and(int vote, MINISK_HERE) { return minisk::count_votes(!vote, place) == 0; }
static inline void __barrier_sync(unsigned, MINISK_HERE) {
#ifdef MINISK_FIBERS
    __syncthreads(place);
#endif
}

// ---- warps ----

MINISK_IF_CALLED unsigned __activemask(MINISK_HERE) { return minisk::lanes_here(place); }

// A bit for each lane whose value equals the caller's.
template <class T> static inline unsigned __match_any_sync(unsigned mask, T value, MINISK_HERE) {
    unsigned equal = 0;
    minisk::for_each_lane(mask, value, place, [&](int lane, T other) { equal |= unsigned(other == value) << lane; });
    return equal;
}
// The mask if all values are equal, else 0; *all says which.
template <class T> static inline unsigned __match_all_sync(unsigned mask, T value, int* all, MINISK_HERE) {
    const unsigned equal = __match_any_sync(mask, value, place);
    *all = minisk::ballot(mask, true, place) == equal;
    return *all ? mask : 0;
}

#define MINISK_REDUCE(name, T, expression)                                                     \
    MINISK_IF_CALLED T name(unsigned mask, T value, MINISK_HERE) {                             \
        return minisk::reduce(mask, value, place, [](T a, T b) -> T { return expression; });   \
    }
MINISK_REDUCE(__reduce_add_sync, unsigned, a + b)
MINISK_REDUCE(__reduce_min_sync, unsigned, b < a ? b : a)
MINISK_REDUCE(__reduce_max_sync, unsigned, a < b ? b : a)
MINISK_REDUCE(__reduce_and_sync, unsigned, a & b)
MINISK_REDUCE(__reduce_or_sync, unsigned, a | b)
MINISK_REDUCE(__reduce_xor_sync, unsigned, a ^ b)
MINISK_REDUCE(__reduce_add_sync, int, int(unsigned(a) + unsigned(b)))
MINISK_REDUCE(__reduce_min_sync, int, b < a ? b : a)
MINISK_REDUCE(__reduce_max_sync, int, a < b ? b : a)

// ---- time and traps ----

namespace minisk {

// A count of calls: a loop that waits for a time ends, and every launch is the same.
#if defined(MINISK_ONE_THREAD) || defined(MINISK_BLOCKS)
static thread_local long long ticks;
#else
static long long ticks;
#endif

}  // namespace minisk

static inline long long clock64() { return minisk::ticks += 16; }
static inline void __nanosleep(unsigned) {}
static inline void __brkpt() {}
static inline void __trap(MINISK_HERE) { minisk::end_by_trap(place); }
