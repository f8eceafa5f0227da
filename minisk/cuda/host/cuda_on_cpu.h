#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <algorithm>
#include <vector>
#include <utility>
#define __global__ __attribute__((noinline))
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
struct uint3 { unsigned x, y, z; };
struct half_t { unsigned short bits; operator float() const { return 0; } half_t(float) {} };
struct minisk_launch { unsigned grid[3]; unsigned block[3]; unsigned dynamic_shared; int schedule; unsigned seed; char error[512]; };
static constexpr uint3 threadIdx{0,0,0}, blockDim{1,1,1};
static thread_local uint3 blockIdx; static uint3 gridDim;
static thread_local std::vector<char> dyn_;
static inline void* minisk_dynamic_shared() { return dyn_.data(); }
#define __shared__ static thread_local
#define __syncthreads() ((void)0)
#define __syncwarp() ((void)0)
template <class... A, size_t... I> static void call_(void (*k)(A...), void** p, std::index_sequence<I...>) { k(*(std::decay_t<A>*)p[I]...); }
template <class... A> static int launch_(void (*k)(A...), minisk_launch* l, void** p) {
  gridDim = {l->grid[0], l->grid[1], l->grid[2]};
  long long n = (long long)gridDim.x * gridDim.y * gridDim.z;
  #pragma omp parallel
  { if (dyn_.size() < l->dynamic_shared + 64) dyn_.resize(l->dynamic_shared + 64);
  #pragma omp for schedule(static)
  for (long long b = 0; b < n; b++) { blockIdx = {(unsigned)(b % gridDim.x), (unsigned)(b / gridDim.x % gridDim.y), (unsigned)(b / gridDim.x / gridDim.y)};
    call_(k, p, std::index_sequence_for<A...>{}); } }
  return 0;
}
#define MINISK_EXPORT(k) extern "C" int minisk_launch_##k(minisk_launch* l, void** p) { return launch_(&k, l, p); }
