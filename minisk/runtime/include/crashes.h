// crashes.h: a kernel that would end the process (a division by zero, an assertion, an address that does not exist)
// ends only its launch, with an error that names the thread.
//
// The handler does not return to the instruction: it switches to the scheduler, as a thread does that waits. It runs on
// a stack of its own, because the thread may have overrun its stack.
#pragma once
#include <csignal>

namespace minisk {

// Signals that an instruction of the running thread raises, and what it did.
struct Crash {
    int signal;
    const char* meaning;
    struct sigaction before;
};
static Crash crashes[] = {
    {SIGFPE, "divides an integer by zero", {}},
    {SIGABRT, "is ended by assert or abort", {}},
    {SIGSEGV, "accesses an address that does not exist, or more local memory than it has", {}},
    {SIGBUS, "accesses an address that does not exist", {}},
    {SIGILL, "reaches an instruction that does not exist, such as the end of a function without a return", {}},
};
#ifdef MINISK_BLOCKS
static bool is_another_thread() { return false; }  // each has its own `current`
#else
static pthread_t launching_thread;
MINISK_UNWATCHED static bool is_another_thread() { return !pthread_equal(pthread_self(), launching_thread); }
#endif

MINISK_UNWATCHED static void end_launch(int signal) {
    for (const Crash& crash : crashes) {
        if (crash.signal != signal) continue;
        if (current == no_thread || is_another_thread()) {  // not the kernel's doing
            sigaction(signal, &crash.before, nullptr);
            raise(signal);
            return;
        }
        const auto [x, y, z] = fibers[current].index;
        report(*running, "thread (%u,%u,%u) of block (%u,%u,%u) %s", x, y, z, blockIdx.x, blockIdx.y, blockIdx.z,
               crash.meaning);
    }
    wait(State::exited, {});
}

// Gives the calling thread of the process a stack for signal handlers, as long as it lives.
class SignalStack {
    char stack[64 * 1024];
    stack_t before;

public:
    MINISK_UNWATCHED SignalStack() {
        const stack_t own{stack, 0, sizeof stack};
        sigaltstack(&own, &before);
    }
    MINISK_UNWATCHED ~SignalStack() { sigaltstack(&before, nullptr); }
};

// Handles these signals as long as it lives.
class CrashGuard {
    const SignalStack stack;

public:
    MINISK_UNWATCHED CrashGuard() {
#ifndef MINISK_BLOCKS
        launching_thread = pthread_self();
#endif
        struct sigaction action {};
        action.sa_handler = end_launch;
        action.sa_flags = SA_ONSTACK | SA_NODEFER;  // not deferred: the handler does not return
        for (Crash& crash : crashes) sigaction(crash.signal, &action, &crash.before);
    }
    MINISK_UNWATCHED ~CrashGuard() {
        for (Crash& crash : crashes) sigaction(crash.signal, &crash.before, nullptr);
    }
};

}  // namespace minisk
