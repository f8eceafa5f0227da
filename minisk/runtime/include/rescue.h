// rescue.h: mode "cpu": a division by zero, an assertion or a wild address ends the launch with an error, not Python.
//
// The handlers are installed once, by the first launch of a library: no launch pays for a system call. They find out by
// a list which threads run a kernel. A thread's own variables would not do: the first access may allocate memory.
#pragma once
#include <atomic>
#include <csetjmp>

#include "signals.h"

namespace minisk {

// A thread that runs blocks, where it goes on after a crash, and what happened.
struct Rescue {
    std::atomic<pthread_t> thread;  // 0: free
    sigjmp_buf back;
    const char* what;
    uintptr_t instruction;
};
static Rescue rescues[256];

static Rescue* own_rescue() {
    const pthread_t self = pthread_self();
    for (Rescue& rescue : rescues) {
        if (rescue.thread.load(std::memory_order_relaxed) == self) return &rescue;
    }
    return nullptr;
}

static void rescue_or_pass_on(int signal, siginfo_t* cause, void* context) {
    Rescue* const rescue = own_rescue();
    if (!rescue) return pass_on(signal, cause);
    rescue->what = meaning_of(signal, cause);
    rescue->instruction = instruction_of(context);
    siglongjmp(rescue->back, 1);
}

static bool install_handlers() {
    struct sigaction action {};
    action.sa_sigaction = rescue_or_pass_on;
    action.sa_flags = SA_ONSTACK | SA_NODEFER | SA_SIGINFO;  // not deferred: the handler may not return
    for (Crash& crash : crashes) sigaction(crash.signal, &action, &crash.before);
    return true;
}

// Returns an entry for the calling thread, from index `first` on; null if all are in use: then nothing is rescued.
static Rescue* claim_rescue(size_t first) {
    for (size_t i = 0; i < std::size(rescues); ++i) {
        Rescue& rescue = rescues[(first + i) % std::size(rescues)];
        pthread_t free = 0;
        if (rescue.thread.compare_exchange_strong(free, pthread_self())) return &rescue;
    }
    return nullptr;
}

static void report_crash(Launch& launch, const Rescue& rescue) {
    #pragma omp critical(minisk_report)
    if (!launch.error[0]) {
        report(launch, "block (%u,%u,%u) %s", blockIdx.x, blockIdx.y, blockIdx.z, rescue.what);
        const uintptr_t instruction = rescue.instruction;
        if (is_in_library(instruction)) launch.address = instruction - uintptr_t(__ehdr_start);
    }
}

}  // namespace minisk

// What assert calls; this library's own comes before that of the C library.
extern "C" __attribute__((visibility("hidden"), noreturn)) void __assert_fail(
    const char* condition, const char*, unsigned, const char*) noexcept {
    static char text[300];
    snprintf(text, sizeof text, "fails the assertion `%s`", condition);
    minisk::Rescue* const rescue = minisk::own_rescue();
    if (!rescue) abort();
    rescue->what = text;
    rescue->instruction = uintptr_t(__builtin_return_address(0)) - 1;
    siglongjmp(rescue->back, 1);
}
