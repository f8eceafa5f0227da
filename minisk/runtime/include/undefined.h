// undefined.h: undefined behaviour of C++, found by the compiler's -fsanitize=bounds-strict,alignment,… in mode "check".
//
// The instrumentation calls a function __ubsan_handle_… when an operation is undefined. Its first argument points at
// what the compiler knows of the operation, here as the structures of compiler-rt/lib/ubsan/ubsan_handlers.h. An index
// beyond its array, a misaligned vector and a division by zero end the launch; after the others it continues.
#pragma once
#include "findings.h"

namespace minisk {

// The compiler's name of a type, quoted: 'float [32]'. info: for integers, twice the logarithm of the bits, + 1 if signed.
struct TypeName { uint16_t kind, info; char name[1]; };
struct SourcePlace { const char* file; unsigned line, column; };
struct Overflow { SourcePlace place; const TypeName* type; };
struct BadIndex { SourcePlace place; const TypeName *array, *index; };
struct BadShift { SourcePlace place; const TypeName *left, *right; };
struct BadPointer { SourcePlace place; const TypeName* type; unsigned char log_alignment, kind; };

// Returns an operand as the handlers get it: by value if it has at most 64 bits.
MINISK_UNWATCHED static long long operand(const TypeName* type, void* value) {
    const int bits = 1 << (type->info >> 1);
    if (bits > 64) return 0;
    const long long number = (long long)(uintptr_t(value));
    const int spare = 64 - bits;
    return type->info & 1 ? (long long)((unsigned long long)number << spare) >> spare
                          : (long long)((unsigned long long)number << spare >> spare);
}

MINISK_UNWATCHED static void find_overflow(const void* data, const char* sign, void* left, void* right, void* caller) {
    const TypeName* type = static_cast<const Overflow*>(data)->type;
    find_text(minisk_undefined_behaviour, false, caller, "%lld %s %lld overflows %s", operand(type, left), sign,
              operand(type, right), type->name);
}

// bytes: the alignment of the type.
MINISK_UNWATCHED static void find_misaligned(const Region& region, uintptr_t address, size_t bytes, bool is_store,
                                             void* return_address) {
    const Site& site = site_at(call_before(return_address));
    last_caller = caller();
    const minisk_access access = is_store ? minisk_write : minisk_read;
    find(minisk_misaligned, &region, address, bytes, {now, unsigned(current), unsigned(&site - sites), unsigned(access)});
    stop("a misaligned access");
}

}  // namespace minisk

MINISK_VISIBLE void __ubsan_handle_add_overflow(void* data, void* left, void* right) {
    minisk::find_overflow(data, "+", left, right, __builtin_return_address(0));
}
MINISK_VISIBLE void __ubsan_handle_sub_overflow(void* data, void* left, void* right) {
    minisk::find_overflow(data, "-", left, right, __builtin_return_address(0));
}
MINISK_VISIBLE void __ubsan_handle_mul_overflow(void* data, void* left, void* right) {
    minisk::find_overflow(data, "*", left, right, __builtin_return_address(0));
}
MINISK_VISIBLE void __ubsan_handle_negate_overflow(void* data, void* value) {
    const minisk::TypeName* type = static_cast<minisk::Overflow*>(data)->type;
    minisk::find_text(minisk_undefined_behaviour, false, __builtin_return_address(0), "-(%lld) overflows %s",
                      minisk::operand(type, value), type->name);
}
MINISK_VISIBLE void __ubsan_handle_shift_out_of_bounds(void* data, void* left, void* right) {
    const auto [place, type, amount] = *static_cast<minisk::BadShift*>(data);
    minisk::find_text(minisk_undefined_behaviour, false, __builtin_return_address(0),
                      "%lld is shifted by %lld bits, which %s has not", minisk::operand(type, left),
                      minisk::operand(amount, right), type->name);
}
MINISK_VISIBLE void __ubsan_handle_divrem_overflow(void* data, void* left, void* right) {
    const minisk::TypeName* type = static_cast<minisk::Overflow*>(data)->type;
    minisk::find_text(minisk_undefined_behaviour, false, __builtin_return_address(0),
                      "%lld is divided by %lld", minisk::operand(type, left), minisk::operand(type, right));
    minisk::stop("an undefined division");
}
MINISK_VISIBLE void __ubsan_handle_out_of_bounds(void* data, void* index) {
    const auto [place, array, type] = *static_cast<minisk::BadIndex*>(data);
    minisk::find_text(minisk_out_of_bounds, false, __builtin_return_address(0), "the index %lld is not one of %s",
                      minisk::operand(type, index), array->name);
    minisk::stop("an out-of-bounds access");
}
MINISK_VISIBLE void __ubsan_handle_type_mismatch_v1(void* data, void* pointer) {
    const auto& known = *static_cast<minisk::BadPointer*>(data);
    const uintptr_t address = uintptr_t(pointer);
    if (minisk::is_local(address) || !pointer) return;
    if (const minisk::Region* const region = minisk::region_of(address, 1)) {
        const size_t alignment = size_t(1) << known.log_alignment;
        return minisk::find_misaligned(*region, address, alignment, known.kind == 1, __builtin_return_address(0));
    }
    minisk::find_text(minisk_misaligned, false, __builtin_return_address(0),
                      "the address of a value of type %s is no multiple of %d", known.type->name,
                      1 << known.log_alignment);
    minisk::stop("a misaligned access");
}
