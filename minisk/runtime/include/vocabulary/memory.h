// memory.h: loads and stores with a hint for the caches, which here are plain ones, and words about addresses.
#pragma once

#define MINISK_LOAD(name) template <class T> static inline T name(const T* address) { return *address; }
MINISK_LOAD(__ldg)   // through the read-only cache
MINISK_LOAD(__ldca)  // in all caches
MINISK_LOAD(__ldcg)  // in L2 only
MINISK_LOAD(__ldcs)  // likely to be read once
MINISK_LOAD(__ldlu)  // last use
MINISK_LOAD(__ldcv)  // not from a cache

#define MINISK_STORE(name) \
    template <class T> static inline void name(T* address, std::common_type_t<T> value) { *address = value; }
MINISK_STORE(__stwb)  // in all caches
MINISK_STORE(__stcg)  // in L2 only
MINISK_STORE(__stcs)  // likely to be used once
MINISK_STORE(__stwt)  // through to memory

static inline size_t __cvta_generic_to_shared(const void* address) { return size_t(address); }
static inline size_t __cvta_generic_to_global(const void* address) { return size_t(address); }
