// fences.h: the order that __threadfence and atomic updates make, also between blocks (release and acquire).
//
// A thread that calls __threadfence and then updates an address atomically releases its accesses before the fence. A
// thread that updates this address later acquires them: they come before its own next accesses, and after a barrier or
// a __syncwarp before those of the threads that it meets there. So the last block of a reduction, which finds out by
// an atomic ticket that it is the last, may read what the other blocks wrote. The order is not passed on: a thread that
// acquires and then releases at another address releases only accesses of its own block.
//
// Fences of other threads count as well: each calls __threadfence, then comes a barrier, then one thread updates.
#pragma once
#include <cstdlib>

#include "shadow.h"

namespace minisk {

// Logical time: it is incremented when a block begins, and at each barrier, __syncwarp and fence.
static unsigned now, block_start, last_barrier;
static unsigned met[most_threads][32];  // met[t][l]: time when thread t last met lane l of its warp

// The last fence of a thread: what came before it. time 0: none in this block.
struct Fence {
    unsigned time, barrier, met[32];
    bool is_within_block;  // __threadfence_block
};

// The time of each thread's last fence, at a barrier that came after fences of several threads.
struct Snapshot {
    Snapshot* earlier;
    unsigned times[most_threads];
};

// An update after a fence. time: of the update. at_barrier: the last snapshot of its block, or null.
struct Release {
    Fence fence;
    const Snapshot* at_barrier;
    unsigned block_start, time;
    int thread;
};

// An address, and the releases at it in the order of the updates.
struct Channel {
    uintptr_t address;
    Release* releases;
    unsigned count, room;
};
constexpr int most_channels = 256;
static Channel channels[most_channels];
static int channel_count;

// How many releases of each channel have been acquired.
struct Acquired {
    static constexpr int most = 8;
    struct { const Channel* channel; unsigned releases; } parts[most];
    int count;

    MINISK_UNWATCHED void add(const Channel* channel, unsigned releases) {
        for (int i = 0; i < count; ++i) {
            if (parts[i].channel == channel) return void(parts[i].releases = larger(parts[i].releases, releases));
        }
        if (count < most) parts[count++] = {channel, releases};
    }
    MINISK_UNWATCHED void add(const Acquired& others) {
        for (int i = 0; i < others.count; ++i) add(others.parts[i].channel, others.parts[i].releases);
    }
};

static Fence fences[most_threads];
static bool has_fence;                        // whether any thread of the launch has called one
static Snapshot *snapshots, *of_block;        // of the launch, the latest first; the last one of the block
static Acquired by_thread[most_threads], by_block;  // by_block: by any thread before the last barrier

MINISK_UNWATCHED static void fence(bool is_within_block) {
    if (current == no_thread) return;
    Fence& fence = fences[current];
    fence.time = ++now;
    fence.barrier = last_barrier;
    fence.is_within_block = is_within_block;
    memcpy(fence.met, met[current], sizeof fence.met);
    has_fence = true;
}

MINISK_UNWATCHED static Channel* channel_at(uintptr_t address) {
    for (int i = 0; i < channel_count; ++i) {
        if (channels[i].address == address) return &channels[i];
    }
    return nullptr;
}

MINISK_UNWATCHED static void append(Channel& channel, const Release& release) {
    if (channel.count == channel.room) {
        const unsigned room = 2 * channel.room + 8;
        void* grown = realloc(channel.releases, room * sizeof(Release));
        if (!grown) return;  // a release that is forgotten can only lead to a finding
        channel.releases = static_cast<Release*>(grown);
        channel.room = room;
    }
    channel.releases[channel.count++] = release;
}

// The running thread updates an address atomically: it acquires the releases there, and adds its own.
MINISK_UNWATCHED static void order_by_update(uintptr_t address) {
    if (!has_fence) return;
    Channel* channel = channel_at(address);
    if (channel) by_thread[current].add(channel, channel->count);
    if (fences[current].time == 0) return;
    if (!channel && channel_count < most_channels) *(channel = &channels[channel_count++]) = {address, nullptr, 0, 0};
    if (channel) append(*channel, {fences[current], of_block, block_start, now, current});
    ++now;
}

// is_update: whether the access is atomic.
MINISK_UNWATCHED static bool is_released(const Release& release, unsigned time, int thread, bool is_update) {
    const Fence& fence = release.fence;
    if (time < release.block_start || time > release.time) return false;  // another block, or later
    if (fence.is_within_block && time < block_start) return false;
    if (time < fence.barrier) return true;
    if (release.at_barrier && time < release.at_barrier->times[thread]) return true;
    if (thread == release.thread) return time < fence.time || is_update;
    return thread / 32 == release.thread / 32 && time < fence.met[thread % 32];
}

// Whether one of the acquired releases covers an access.
MINISK_UNWATCHED static bool covers(const Acquired& acquired, unsigned time, int thread, bool is_update) {
    for (int i = 0; i < acquired.count; ++i) {
        const auto [channel, releases] = acquired.parts[i];
        for (unsigned k = 0; k < releases; ++k) {
            if (is_released(channel->releases[k], time, thread, is_update)) return true;
        }
    }
    return false;
}

MINISK_UNWATCHED static bool is_acquired(unsigned time, int thread, bool is_update) {
    if (!channel_count) return false;
    return covers(by_thread[current], time, thread, is_update) || covers(by_block, time, thread, is_update);
}

// ---- events ----

MINISK_UNWATCHED static void fences_begin_block() {
    if (!has_fence) return;
    for (int thread = 0; thread < most_threads; ++thread) fences[thread].time = by_thread[thread].count = 0;
    by_block.count = 0;
    of_block = nullptr;
}

MINISK_UNWATCHED static void fences_begin_launch() {
    fences_begin_block();
    for (int i = 0; i < channel_count; ++i) free(channels[i].releases);
    while (snapshots) {
        Snapshot* const latest = snapshots;
        snapshots = latest->earlier;
        free(latest);
    }
    channel_count = 0;
    has_fence = false;
}

// `before`: the time of the barrier before this one.
MINISK_UNWATCHED static void fences_at_barrier(unsigned before) {
    if (!has_fence) return;
    int callers = 0;
    for (int thread = 0; thread < threads; ++thread) {
        callers += fences[thread].time > before;
        by_block.add(by_thread[thread]);
    }
    if (callers < 2) return;  // one thread's fence stands in its own releases
    Snapshot* const snapshot = static_cast<Snapshot*>(malloc(sizeof(Snapshot)));
    if (!snapshot) return;
    for (int thread = 0; thread < threads; ++thread) {
        const Fence& last = fences[thread];
        snapshot->times[thread] = last.is_within_block ? 0 : last.time;
    }
    snapshot->earlier = snapshots;
    snapshots = of_block = snapshot;
}

MINISK_UNWATCHED static void fences_at_collective(int first_thread, unsigned group) {
    if (!channel_count) return;
    Acquired all{};
    for (int lane = 0; lane < 32; ++lane) {
        if (group >> lane & 1) all.add(by_thread[first_thread + lane]);
    }
    for (int lane = 0; lane < 32; ++lane) {
        if (group >> lane & 1) by_thread[first_thread + lane] = all;
    }
}

}  // namespace minisk
