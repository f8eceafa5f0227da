// context_switch.h: switch from one stack to another, in the few instructions that each processor needs.
//
// minisk_switch_stack(&left, entered) pushes the registers that a function must preserve, stores the stack pointer in
// `left`, sets it to `entered`, pops the registers saved there, and returns to the function that was suspended there.
#pragma once

extern "C" void minisk_switch_stack(void** left, void* entered);

#if defined(__x86_64__)
asm(R"(
    .text
    .local minisk_switch_stack
minisk_switch_stack:
    pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
    ret
)");
// Six registers, the return address, and one word of padding: on a function's entry the stack pointer must be 8 above a
// multiple of 16 (System V ABI).
constexpr int minisk_frame_words = 8, minisk_return_word = 6;
#elif defined(__aarch64__)
asm(R"(
    .text
    .local minisk_switch_stack
minisk_switch_stack:
    stp x19, x20, [sp, #-160]!
    stp x21, x22, [sp, #16]; stp x23, x24, [sp, #32]; stp x25, x26, [sp, #48]; stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]; stp d10, d11, [sp, #112]; stp d12, d13, [sp, #128]; stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp d8, d9, [sp, #96]; ldp d10, d11, [sp, #112]; ldp d12, d13, [sp, #128]; ldp d14, d15, [sp, #144]
    ldp x29, x30, [sp, #80]
    ldp x21, x22, [sp, #16]; ldp x23, x24, [sp, #32]; ldp x25, x26, [sp, #48]; ldp x27, x28, [sp, #64]
    ldp x19, x20, [sp], #160
    ret
)");
constexpr int minisk_frame_words = 20, minisk_return_word = 11;  // x30 is the return address
#else
#error "minisk: kernels are executed thread by thread on x86-64 and aarch64 only"
#endif

namespace minisk {

// Prepares a stack (top: its highest address, a multiple of 16) that calls `start` when it is first entered.
MINISK_UNWATCHED static inline void* fresh_stack(char* top, void (*start)()) {
    void** frame = reinterpret_cast<void**>(top) - minisk_frame_words;
    for (int word = 0; word < minisk_frame_words; ++word) frame[word] = nullptr;
    frame[minisk_return_word] = reinterpret_cast<void*>(start);
    return frame;
}

}  // namespace minisk
