// atomics.h: CUDA's atomic functions, each built from minisk::atomic_update, which the executor defines.
//
// The forms _block and _system have the scope in their name; here every update is atomic for the whole machine.
#pragma once
#include "place.h"

namespace minisk {

// Defined by the executor: atomically sets *address = update(*address). Returns the old value.
template <class T, class Update> static inline T atomic_update(T* address, Update update, bool is_exchange = false);

}  // namespace minisk

// The address decides the type, not the value: atomicAdd(float*, 1) adds 1.0f.
template <class T> using minisk_value = std::common_type_t<T>;
#define MINISK_ATOMIC_OF(name, updated)                                                          \
    template <class T> static __forceinline__ T name(T* address, minisk_value<T> value) {        \
        return minisk::atomic_update(address, [value](T old) -> T { return updated; });          \
    }
#define MINISK_ATOMIC(name, updated)  \
    MINISK_ATOMIC_OF(name, updated)   \
    MINISK_ATOMIC_OF(name##_block, updated) MINISK_ATOMIC_OF(name##_system, updated)
MINISK_ATOMIC(atomicAdd, old + value)
MINISK_ATOMIC(atomicSub, old - value)
MINISK_ATOMIC(atomicMax, old < value ? value : old)
MINISK_ATOMIC(atomicMin, value < old ? value : old)
MINISK_ATOMIC(atomicExch, value)
MINISK_ATOMIC(atomicAnd, old & value)
MINISK_ATOMIC(atomicOr, old | value)
MINISK_ATOMIC(atomicXor, old ^ value)
MINISK_ATOMIC(atomicInc, old >= value ? T(0) : T(old + 1))
MINISK_ATOMIC(atomicDec, old == 0 || old > value ? value : T(old - 1))

#define MINISK_COMPARE_AND_SWAP(name)                                                                               \
    template <class T> static __forceinline__ T name(T* address, minisk_value<T> expected, minisk_value<T> value) { \
        return minisk::atomic_update(address, [=](T old) -> T { return old == expected ? value : old; }, true);     \
    }
MINISK_COMPARE_AND_SWAP(atomicCAS)
MINISK_COMPARE_AND_SWAP(atomicCAS_block)
MINISK_COMPARE_AND_SWAP(atomicCAS_system)
