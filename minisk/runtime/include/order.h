// order.h: which accesses certainly happen before the running thread's next one (happens-before).
//
// Barriers of the block and __syncwarp order memory, and so do fences with atomic updates (fences.h). Shuffles and votes
// do not: "do not imply a memory barrier" (CUDA C++ Programming Guide, "Warp Shuffle Functions").
#pragma once
#include "fences.h"

namespace minisk {

// When each block of the launch began, in the order in which they ran.
struct Beginning { unsigned time, block; };
static Beginning* beginnings;
static size_t blocks_begun, blocks_room;

// Returns the number of the block that ran at a time.
MINISK_UNWATCHED static unsigned block_at(unsigned time) {
    size_t first = 0, last = blocks_begun;
    while (last - first > 1) {
        const size_t middle = (first + last) / 2;
        (beginnings[middle].time <= time ? first : last) = middle;
    }
    return blocks_begun ? beginnings[first].block : 0;
}

MINISK_UNWATCHED static bool is_mine(unsigned time) { return time >= block_start; }

MINISK_UNWATCHED static bool is_before_me(unsigned time, int thread, bool is_update) {
    if (is_mine(time)) {
        if (thread == current || time < last_barrier) return true;
        if (thread / 32 == current / 32 && time < met[current][thread % 32]) return true;
    }
    return is_acquired(time, thread, is_update);
}

MINISK_UNWATCHED static bool is_before_me(const Record& record) {
    return is_before_me(record.time, int(record.thread), record.access == minisk_atomic);
}

// Returns the first lane of a group whose access does not certainly come before the running thread's; −1 for none.
MINISK_UNWATCHED static int unordered_lane(const Group& group, bool is_update) {
    if (is_mine(group.time) && group.time < last_barrier) return -1;
    for (unsigned lanes = group.lanes; lanes; lanes &= lanes - 1) {
        const int lane = __builtin_ctz(lanes);
        if (!is_before_me(group.time, 32 * group.warp + lane, is_update)) return lane;
    }
    return -1;
}

// In shared memory, accesses of earlier blocks count for nothing.
MINISK_UNWATCHED static bool is_over(unsigned time, bool is_shared) {
    return time == 0 || (is_shared && !is_mine(time));
}

MINISK_UNWATCHED static bool races(const Record& earlier, bool is_shared) {
    return !is_over(earlier.time, is_shared) && !is_before_me(earlier);
}

// Records a read or an atomic update among others, such that a later access that races with one of them, or with this
// one, races with a recorded one. An access that certainly came before the running thread's is superseded by it. Of two
// warps, groups of each are enough: a later access is ordered alike to all others, but for barriers.
template <int most> MINISK_UNWATCHED static void join(Group (&groups)[most], const Record& mine, bool is_shared) {
    const uint16_t warp = uint16_t(mine.thread / 32), site = uint16_t(mine.site);
    const Group alone{mine.time, 1u << mine.thread % 32, warp, site};
    for (Group& group : groups) {
        if (group.time == mine.time && group.warp == warp && group.site == site) return void(group.lanes |= alone.lanes);
    }
    for (Group& group : groups) {
        const bool is_spare = is_over(group.time, is_shared) || unordered_lane(group, mine.access == minisk_atomic) < 0;
        if (is_spare) return void(group = alone);
    }
    Group& last = groups[most - 1];
    bool is_spare = !is_mine(last.time);
    for (int i = 0; i + 1 < most; ++i) is_spare |= is_mine(groups[i].time) && groups[i].warp == last.warp;
    if (is_spare) last = alone;
}

// Returns an access of the groups that races with the running thread's next one; time 0 if there is none.
template <int most>
MINISK_UNWATCHED static Record rival_among(const Group (&groups)[most], minisk_access access, bool is_shared) {
    for (const Group& group : groups) {
        if (is_over(group.time, is_shared)) continue;
        const int lane = unordered_lane(group, access == minisk_atomic);
        if (lane >= 0) return {group.time, unsigned(32 * group.warp + lane), group.site, access, false};
    }
    return {};
}

// ---- events ----

MINISK_UNWATCHED static void order_begins_launch() {
    now = last_barrier = block_start = 0;
    blocks_begun = 0;
    memset(met, 0, sizeof met);
    fences_begin_launch();
}

MINISK_UNWATCHED static void order_begins_block(unsigned block) {
    block_start = last_barrier = ++now;
    if (blocks_begun == blocks_room) {
        void* const grown = realloc(beginnings, (2 * blocks_room + 1024) * sizeof(Beginning));
        if (grown) {
            beginnings = static_cast<Beginning*>(grown);
            blocks_room = 2 * blocks_room + 1024;
        }
    }
    if (blocks_begun < blocks_room) beginnings[blocks_begun++] = {now, block};
    fences_begin_block();
}

MINISK_UNWATCHED static void order_at_barrier() {
    const unsigned before = last_barrier;
    last_barrier = ++now;
    fences_at_barrier(before);
}

// The lanes of the group have called __syncwarp: each now comes after everything that any of them came after.
MINISK_UNWATCHED static void order_at_syncwarp(int first_thread, unsigned group) {
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

}  // namespace minisk
