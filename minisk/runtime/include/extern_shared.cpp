// extern_shared.cpp: the dynamic shared memory of a file with `extern __shared__ T name[];`. The linker gives every such
// array this address (runtime/objects.py).
extern "C" {
#pragma GCC visibility push(hidden)
thread_local char minisk_extern_shared_bytes[64 * 1024] __attribute__((aligned(64 * 1024)));
char* minisk_extern_shared() { return minisk_extern_shared_bytes; }
}
