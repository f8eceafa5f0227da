// pipeline.h: asynchronous copies into shared memory (cuda_pipeline.h), which here are complete at once.
//
// So a kernel that forgets to wait is not found.
#pragma once

static inline void __pipeline_memcpy_async(void* to, const void* from, size_t bytes, size_t zeros = 0) {
    if (zeros == 0 && bytes == 16) *static_cast<uint4*>(to) = *static_cast<const uint4*>(from);
    else if (zeros == 0 && bytes == 8) *static_cast<uint2*>(to) = *static_cast<const uint2*>(from);
    else {
        for (size_t i = 0; i < bytes / 4; ++i)
            static_cast<unsigned*>(to)[i] = 4 * i < bytes - zeros ? static_cast<const unsigned*>(from)[i] : 0;
    }
}
static inline void __pipeline_commit() {}
static inline void __pipeline_wait_prior(size_t) {}
