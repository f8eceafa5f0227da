// cooperative_groups.h: CUDA's cooperative groups within a block: the block, tiles of a warp, coalesced lanes.
//
// A group of all blocks (this_grid) knows its ranks; its sync is not supported, because blocks run one after another.
#pragma once

namespace cooperative_groups {

struct thread_block {
    void sync(MINISK_HERE) const {
#ifdef MINISK_FIBERS
        __syncthreads(place);
#endif
    }
    static unsigned thread_rank() {
        return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    }
    static unsigned size() { return blockDim.x * blockDim.y * blockDim.z; }
    static unsigned num_threads() { return size(); }
    static dim3 group_index() { return blockIdx; }
    static dim3 thread_index() { return threadIdx; }
    static dim3 group_dim() { return blockDim; }
    static dim3 dim_threads() { return blockDim; }
};
static inline thread_block this_thread_block() { return {}; }

struct grid_group {
    void sync() const = delete;
    static bool is_valid() { return false; }
    static unsigned long long block_rank() {
        return blockIdx.x + gridDim.x * (blockIdx.y + (unsigned long long)gridDim.y * blockIdx.z);
    }
    static unsigned long long num_blocks() { return (unsigned long long)gridDim.x * gridDim.y * gridDim.z; }
    static unsigned long long thread_rank() { return block_rank() * thread_block::size() + thread_block::thread_rank(); }
    static unsigned long long size() { return num_blocks() * thread_block::size(); }
    static unsigned long long num_threads() { return size(); }
    static dim3 group_dim() { return gridDim; }
    static dim3 dim_blocks() { return gridDim; }
    static dim3 block_index() { return blockIdx; }
};
static inline grid_group this_grid() { return {}; }

// Some lanes of a warp. `lanes` has a bit for each; ranks count these upwards.
class lane_group {
protected:
    unsigned lanes;

    static unsigned lane() { return thread_block::thread_rank() % 32; }
    int lane_of(unsigned rank) const { return int(__fns(lanes, 0, int(rank) + 1)); }

    // A value of more than 8 bytes is exchanged in pieces.
    template <class T> T from(int lane, const T& value, minisk::Place place) const {
        struct Piece { unsigned char bytes[8]; };
        T received = value;
        auto from = reinterpret_cast<const char*>(&value);
        auto to = reinterpret_cast<char*>(&received);
        for (size_t i = 0; i < sizeof(T); i += sizeof(Piece)) {
            const size_t length = sizeof(T) - i < sizeof(Piece) ? sizeof(T) - i : sizeof(Piece);
            Piece piece{};
            __builtin_memcpy(&piece, from + i, length);
            piece = minisk::from_lane(lanes, piece, lane, place);
            __builtin_memcpy(to + i, &piece, length);
        }
        return received;
    }
    // The lanes of a bit mask, as bits of their ranks.
    unsigned ranks(unsigned some) const {
        unsigned found = 0;
        for (unsigned rank = 0; rank < size(); ++rank) found |= (some >> lane_of(rank) & 1) << rank;
        return found;
    }

public:
    explicit lane_group(unsigned lanes) : lanes(lanes) {}

    unsigned size() const { return unsigned(__popc(lanes)); }
    unsigned num_threads() const { return size(); }
    unsigned thread_rank() const { return unsigned(__popc(lanes & ((1u << lane()) - 1))); }
    void sync(MINISK_HERE) const {
#ifdef MINISK_FIBERS
        __syncwarp(lanes, place);
#endif
    }
    template <class T> T shfl(const T& value, int rank, MINISK_HERE) const {
        return from(lane_of(unsigned(rank) % size()), value, place);
    }
    template <class T> T shfl_up(const T& value, unsigned delta, MINISK_HERE) const {
        const unsigned rank = thread_rank();
        return from(lane_of(rank < delta ? rank : rank - delta), value, place);
    }
    template <class T> T shfl_down(const T& value, unsigned delta, MINISK_HERE) const {
        const unsigned rank = thread_rank();
        return from(lane_of(rank + delta < size() ? rank + delta : rank), value, place);
    }
    template <class T> T shfl_xor(const T& value, unsigned bits, MINISK_HERE) const {
        const unsigned rank = thread_rank() ^ bits;
        return from(lane_of(rank < size() ? rank : thread_rank()), value, place);
    }
    int any(int vote, MINISK_HERE) const { return __any_sync(lanes, vote, place); }
    int all(int vote, MINISK_HERE) const { return __all_sync(lanes, vote, place); }
    unsigned ballot(int vote, MINISK_HERE) const { return ranks(__ballot_sync(lanes, vote, place)); }
    template <class T> unsigned match_any(T value, MINISK_HERE) const {
        return ranks(__match_any_sync(lanes, value, place));
    }
    template <class T> unsigned match_all(T value, int& all, MINISK_HERE) const {
        return ranks(__match_all_sync(lanes, value, &all, place));
    }
    // Combines the values of all members, from rank 0 upwards; with `until`, of the ranks below it.
    template <class T, class Combine> T combined(const T& value, Combine combine, unsigned until, minisk::Place place) const {
        T total = shfl(value, 0, place);
        for (unsigned rank = 1; rank < size(); ++rank) {
            const T other = shfl(value, int(rank), place);
            if (rank < until) total = combine(total, other);
        }
        return total;
    }
};

// A group of `Size` neighbouring threads, a power of two up to 32.
template <unsigned Size, class Parent = thread_block> struct thread_block_tile : lane_group {
    static_assert(Size > 0 && Size <= 32 && (Size & (Size - 1)) == 0, "a tile has 1, 2, 4, 8, 16 or 32 threads");
    thread_block_tile() : lane_group((Size == 32 ? ~0u : (1u << Size % 32) - 1) << (lane() & ~(Size - 1))) {}
    static constexpr unsigned size() { return Size; }
    static constexpr unsigned num_threads() { return Size; }
    static unsigned meta_group_rank() { return thread_block::thread_rank() / Size; }
    static unsigned meta_group_size() { return (thread_block::size() + Size - 1) / Size; }
};
using thread_group = lane_group;
using coalesced_group = lane_group;

template <unsigned Size, class Parent> static inline thread_block_tile<Size, Parent> tiled_partition(const Parent&) {
    return {};
}
static inline coalesced_group coalesced_threads(MINISK_HERE) { return coalesced_group(__activemask(place)); }

// The members of a group with the same label.
template <class Label>
static inline coalesced_group labeled_partition(const lane_group& group, Label label, MINISK_HERE) {
    struct Open : lane_group { using lane_group::lanes; };
    const unsigned lanes = static_cast<const Open&>(group).lanes;
    return coalesced_group(__match_any_sync(lanes, label, place));
}
static inline coalesced_group binary_partition(const lane_group& group, bool label, MINISK_HERE) {
    return labeled_partition(group, int(label), place);
}

template <class Group> static inline void sync(const Group& group, MINISK_HERE) { group.sync(place); }

// ---- cooperative_groups/reduce.h and scan.h ----

#define MINISK_GROUP_OPERATION(name, expression) \
    template <class T = void> struct name { T operator()(T a, T b) const { return expression; } };
MINISK_GROUP_OPERATION(plus, a + b)
MINISK_GROUP_OPERATION(less, b < a ? b : a)
MINISK_GROUP_OPERATION(greater, a < b ? b : a)
MINISK_GROUP_OPERATION(bit_and, a & b)
MINISK_GROUP_OPERATION(bit_or, a | b)
MINISK_GROUP_OPERATION(bit_xor, a ^ b)

template <class Group, class T, class Combine>
static inline T reduce(const Group& group, T value, Combine combine, MINISK_HERE) {
    return group.combined(value, combine, group.size(), place);
}
template <class Group, class T, class Combine = plus<T>>
static inline T inclusive_scan(const Group& group, T value, Combine combine = {}, MINISK_HERE) {
    return group.combined(value, combine, group.thread_rank() + 1, place);
}
template <class Group, class T, class Combine = plus<T>>
static inline T exclusive_scan(const Group& group, T value, Combine combine = {}, MINISK_HERE) {
    const T before = group.combined(value, combine, group.thread_rank(), place);
    return group.thread_rank() == 0 ? T() : before;
}

// ---- cooperative_groups/memcpy_async.h: the copy is complete at once; wait is the group's barrier ----

template <class Group> static inline void memcpy_async(const Group& group, void* to, const void* from, size_t bytes) {
    const bool is_aligned = ((size_t(to) | size_t(from) | bytes) & 3) == 0;
    const size_t step = is_aligned ? 4 : 1;
    for (size_t i = step * group.thread_rank(); i < bytes; i += step * group.size()) {
        if (is_aligned) *(unsigned*)((char*)to + i) = *(const unsigned*)((const char*)from + i);
        else ((char*)to)[i] = ((const char*)from)[i];
    }
}
template <class Group> static inline void wait(const Group& group, MINISK_HERE) { group.sync(place); }

}  // namespace cooperative_groups
