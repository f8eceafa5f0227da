// unsupported.h: words of CUDA that minisk does not run. No code: runtime/explain.py looks here if the compiler refuses
// a kernel file, and docs/cuda-words.md lists them. A line has the words of a family, the next one the sentence about
// them; `*` stands for any letters, and a word with .h or / is a header. The first family with a word counts.
#pragma once

// words: tex1D* tex2D* tex3D* texCubemap* cudaTextureObject_t texture surf1D* surf2D* surf3D* cudaSurfaceObject_t
// textures and surfaces are not supported; read the array through a pointer

// words: asm __asm__
// PTX is not supported; use the function of CUDA C that does the same

// words: nvcuda wmma mma.h mma_sync
// tensor cores (wmma, mma) are not supported; write the product as sums of float products

// words: <<< cudaLaunchKernel
// host code that launches kernels is not supported; leave it out with `#ifndef MINISK_ON_CPU`, Python launches

// words: torch/* ATen/* c10/* torch at c10 pybind11/* TORCH_CHECK
// PyTorch's C++ library is not supported; leave it out with `#ifndef MINISK_ON_CPU`, or move the kernels to another file

// words: cub/* cub thrust/* thrust cutlass/* cutlass cute/* cute
// CUDA's C++ libraries (CUB, Thrust, CUTLASS) are not supported

// words: cuda/atomic cuda/barrier cuda/pipeline cuda/semaphore cuda/std/* cuda/* cuda
// libcu++ (namespace cuda) is not supported, but for cuda/std/cstdint and the like; use atomicAdd, __syncthreads, …

// words: curand* curand_kernel.h curandState
// cuRAND is not supported; make random numbers in Python, or hash the index

// words: __shfl __shfl_up __shfl_down __shfl_xor __ballot __any __all
// CUDA removed the warp functions without a mask; use the form with _sync

// words: grid_group::sync multi_grid_group this_multi_grid
// a barrier of all blocks is not supported, because blocks run one after another; launch two kernels

// words: cluster_group this_cluster
// clusters of blocks are not supported

// words: cuda_fp8.h cuda_fp6.h cuda_fp4.h __nv_fp8* __nv_fp6* __nv_fp4*
// numbers of 8 bits and less are not supported

// words: cudaGraph* cudaLaunchDevice cudaStreamFireAndForget
// a kernel that launches kernels is not supported

// words: cudaError_t cudaStream_t cudaEvent_t cuda* cublas* cudnn*
// host code that calls CUDA's libraries is not supported; leave it out with `#ifndef MINISK_ON_CPU`
