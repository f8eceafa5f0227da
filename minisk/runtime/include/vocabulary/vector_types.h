// vector_types.h: the types char1 … double4 and make_char1 … make_double4, aligned as CUDA's guide says (Built-in Vector Types).
//
// A vector of 2 or 4 components is aligned to its size, 16 bytes at most; one of 1 or 3 to its component.
#pragma once

template <class T> struct minisk_vector1 { T x; };
template <class T> struct alignas(2 * sizeof(T)) minisk_vector2 { T x, y; };
template <class T> struct minisk_vector3 { T x, y, z; };
template <class T> struct alignas(sizeof(T) < 4 ? 4 * sizeof(T) : 16) minisk_vector4 { T x, y, z, w; };

#define MINISK_VECTORS_OF_1_2_4(T, name)                                                             \
    using name##1 = minisk_vector1<T>;                                                               \
    using name##2 = minisk_vector2<T>;                                                               \
    using name##4 = minisk_vector4<T>;                                                               \
    static constexpr inline name##1 make_##name##1(T x) { return {x}; }                              \
    static constexpr inline name##2 make_##name##2(T x, T y) { return {x, y}; }                      \
    static constexpr inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }              \
    static constexpr inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
#define MINISK_VECTORS(T, name) using name##3 = minisk_vector3<T>; MINISK_VECTORS_OF_1_2_4(T, name)

MINISK_VECTORS(signed char, char)
MINISK_VECTORS(unsigned char, uchar)
MINISK_VECTORS(short, short)
MINISK_VECTORS(unsigned short, ushort)
MINISK_VECTORS(int, int)
MINISK_VECTORS_OF_1_2_4(unsigned, uint)  // uint3 is the type of threadIdx: keywords.h
MINISK_VECTORS(long, long)
MINISK_VECTORS(unsigned long, ulong)
MINISK_VECTORS(long long, longlong)
MINISK_VECTORS(unsigned long long, ulonglong)
MINISK_VECTORS(float, float)
MINISK_VECTORS(double, double)

namespace minisk {

// For describe.h: the name of a type that is a number, but no arithmetic type of C++ (half.h).
template <class T> struct NumberName { static constexpr const char* text = nullptr; };

// For describe.h: the type of a vector's components and their number.
template <class T> struct Components { static constexpr int count = 0; };
template <class T> struct Components<minisk_vector1<T>> { using type = T; static constexpr int count = 1; };
template <class T> struct Components<minisk_vector2<T>> { using type = T; static constexpr int count = 2; };
template <class T> struct Components<minisk_vector3<T>> { using type = T; static constexpr int count = 3; };
template <class T> struct Components<minisk_vector4<T>> { using type = T; static constexpr int count = 4; };
template <> struct Components<uint3> { using type = unsigned; static constexpr int count = 3; };
template <> struct Components<dim3> { using type = unsigned; static constexpr int count = 3; };

}  // namespace minisk
