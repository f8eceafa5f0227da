// signals.h: the signals that an instruction of a kernel raises, and where it stands in the library.
#pragma once
#include <csignal>
#include <pthread.h>
#include <ucontext.h>

namespace minisk {

// Defined by the linker: the start and end of this library.
extern "C" __attribute__((visibility("hidden"))) char __ehdr_start[], _end[];

// A signal, what the thread does that raises it, and the handler before.
struct Crash {
    int signal;
    const char* meaning;
    struct sigaction before;
};
static Crash crashes[] = {
    {SIGFPE, "divides an integer by zero", {}},
    {SIGABRT, "is ended by abort", {}},
    {SIGSEGV, "accesses an address that does not exist", {}},
    {SIGBUS, "accesses an address that does not exist", {}},
    {SIGILL, "reaches an instruction that does not exist, such as the end of a function without a return", {}},
};

MINISK_UNWATCHED static bool is_in_library(uintptr_t address) {
    return address >= uintptr_t(__ehdr_start) && address < uintptr_t(_end);
}

// Returns the instruction that raised a signal. context: what the handler gets.
MINISK_UNWATCHED static uintptr_t instruction_of(void* context) {
    const mcontext_t& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
#ifdef __x86_64__
    return uintptr_t(machine.gregs[REG_RIP]);
#else
    return uintptr_t(machine.pc);
#endif
}

MINISK_UNWATCHED static const char* meaning_of(int signal, const siginfo_t* cause) {
    if (signal == SIGSEGV && cause->si_code == SI_KERNEL) return "accesses a misaligned vector, or a wild address";
    for (const Crash& crash : crashes) {
        if (crash.signal == signal) return crash.meaning;
    }
    return "is ended by a signal";
}

// Calls the handler before: not the kernel's doing. A fault comes again when the instruction is repeated.
MINISK_UNWATCHED static void pass_on(int signal, const siginfo_t* cause) {
    for (const Crash& crash : crashes) {
        if (crash.signal == signal) sigaction(signal, &crash.before, nullptr);
    }
    if (cause->si_code <= 0) raise(signal);
}

}  // namespace minisk
