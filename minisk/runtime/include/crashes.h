// crashes.h: a kernel that would end the process (a division by zero, an assertion, an address that does not exist)
// ends only its launch, with an error that names the line and the thread. So does Ctrl-C.
//
// The handler does not return to the instruction: it switches to the scheduler, as a thread does that waits. It runs on
// a stack of its own, because the thread may have overrun its stack.
#pragma once
#include "signals.h"

namespace minisk {

#ifdef MINISK_BLOCKS
static thread_local bool is_in_launch;  // several threads execute it
static bool is_launching() { return is_in_launch; }
#else
static pthread_t launching_thread;
MINISK_UNWATCHED static bool is_launching() { return pthread_equal(pthread_self(), launching_thread); }
#endif
static struct sigaction interrupt_before, expire_before;

// Reports what the running thread did, at an instruction of this library.
MINISK_UNWATCHED static void report_thread(const char* what, uintptr_t instruction) {
    if (running->error[0]) return;
    const auto [x, y, z] = fibers[current].index;
    report(*running, "thread (%u,%u,%u) of block (%u,%u,%u) %s", x, y, z, blockIdx.x, blockIdx.y, blockIdx.z, what);
    if (is_in_library(instruction)) running->address = instruction - uintptr_t(__ehdr_start);
}

MINISK_UNWATCHED static bool is_running_here() {
    return current != no_thread && is_launching();
}

MINISK_UNWATCHED static void end_launch(int signal, siginfo_t* cause, void* context) {
    if (!is_running_here()) return pass_on(signal, cause);
    const bool is_stack = signal == SIGSEGV && is_reserve(uintptr_t(cause->si_addr));
    report_thread(is_stack ? stack_overflow : meaning_of(signal, cause), instruction_of(context));
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

// Ctrl-C (SIGINT), or the time limit of a launch (SIGURG, which a process ignores if it comes too late). Python's own
// handler would wait until the launch is over. A function of the C library may hold a lock: there, the thread goes on
// until it waits, or until the signal comes again.
MINISK_UNWATCHED static void interrupt(int signal, siginfo_t* cause, void* context) {
    const bool is_ctrl_c = signal == SIGINT;
    if (!is_launching()) {
        const struct sigaction& before = is_ctrl_c ? interrupt_before : expire_before;
        if (before.sa_flags & SA_SIGINFO) before.sa_sigaction(signal, cause, context);
        else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) before.sa_handler(signal);
        return;
    }
    if (last_access && !running->access) running->access = uintptr_t(last_access) - 1 - uintptr_t(__ehdr_start);
    const char* const what = is_ctrl_c ? "is interrupted by Ctrl-C" : "is still running";
    if (current == no_thread) return report(*running, "the launch %s", what);
    const uintptr_t instruction = instruction_of(context);
    report_thread(what, instruction);
    if (!is_in_library(instruction)) return;
    running->address = instruction - uintptr_t(__ehdr_start);
    wait(State::exited, {});
}

// Handles these signals as long as it lives.
class CrashGuard {
    const SignalStack stack;
    bool handles_interrupt;

public:
    MINISK_UNWATCHED CrashGuard() {
#ifndef MINISK_BLOCKS
        launching_thread = pthread_self();
#endif
        struct sigaction action {};
        action.sa_sigaction = end_launch;
        action.sa_flags = SA_ONSTACK | SA_NODEFER | SA_SIGINFO;  // not deferred: the handler does not return
        for (Crash& crash : crashes) sigaction(crash.signal, &action, &crash.before);
        sigaction(SIGINT, nullptr, &interrupt_before);
        // Where Ctrl-C ends the process, or is ignored, it still does.
        handles_interrupt = interrupt_before.sa_handler != SIG_DFL && interrupt_before.sa_handler != SIG_IGN;
        action.sa_sigaction = interrupt;
        if (handles_interrupt) sigaction(SIGINT, &action, nullptr);
        sigaction(SIGURG, &action, &expire_before);
        last_access = nullptr;
    }
    MINISK_UNWATCHED ~CrashGuard() {
        for (Crash& crash : crashes) sigaction(crash.signal, &crash.before, nullptr);
        if (handles_interrupt) sigaction(SIGINT, &interrupt_before, nullptr);
        sigaction(SIGURG, &expire_before, nullptr);
    }
};

}  // namespace minisk

// What assert calls; this library's own comes before that of the C library.
extern "C" __attribute__((visibility("hidden"), noreturn)) MINISK_UNWATCHED void __assert_fail(
    const char* condition, const char* file, unsigned line, const char*) noexcept {
    char text[300];
    snprintf(text, sizeof text, "fails the assertion `%s`", condition);
    minisk::report_thread(text, uintptr_t(__builtin_return_address(0)) - 1);
    minisk::wait(minisk::State::exited, {});
    __builtin_unreachable();
}
