// describe.h: the types of a kernel's parameters and of device variables, in words that runtime/description.py reads.
//
//   f4 i8 u1 b1    a float of 4 bytes, an integer of 8, an unsigned one, a bool     E2   bfloat16
//   *T  *cT        a pointer to T, to const T                v1  void or unknown     p8   another pointer
//   T[4]           an array; also a vector type such as float4
//   {8;h:0:i4;w:4:i4}   a struct of 8 bytes: name, offset and type of each field that the unit lists (Fields)
#pragma once

// Not optimised: called once, and a file of five kernels compiles 10 % faster.
#define MINISK_COLD MINISK_UNWATCHED __attribute__((noinline, cold))

namespace minisk {

// Appends to a text of limited length.
struct Words {
    char text[4096];
    size_t length = 0;

    __attribute__((format(printf, 2, 3))) MINISK_COLD void add(const char* format, ...) {
        va_list values;
        va_start(values, format);
        const int added = vsnprintf(text + length, sizeof text - length, format, values);
        va_end(values);
        length = added < 0 || length + size_t(added) >= sizeof text ? sizeof text - 1 : length + size_t(added);
    }
};

// Specialised by the unit for each struct whose fields Python knows by name.
template <class T> struct Fields { static constexpr bool are_known = false; };

template <class T> MINISK_COLD void describe(Words& words);

template <class T> MINISK_COLD void describe_field(Words& words, const char* name, size_t offset) {
    words.add(";%s:%zu:", name, offset);
    describe<T>(words);
}

template <class T> MINISK_COLD void describe_pointer(Words& words) {
    using Target = std::remove_cv_t<std::remove_pointer_t<T>>;
    if constexpr (std::is_function_v<Target>) return words.add("p8");
    words.add(std::is_const_v<std::remove_pointer_t<T>> ? "*c" : "*");
    if constexpr (std::is_pointer_v<Target>) words.add("p8");
    else describe<Target>(words);
}

template <class T> MINISK_COLD void describe_class(Words& words) {
    if constexpr (NumberName<T>::text != nullptr) {
        words.add("%s", NumberName<T>::text);
    } else if constexpr (Components<T>::count > 0) {
        describe<typename Components<T>::type>(words);
        words.add("[%d]", Components<T>::count);
    } else {
        words.add("{%zu", sizeof(T));
        if constexpr (Fields<T>::are_known) Fields<T>::list(words);
        words.add("}");
    }
}

template <class T> MINISK_COLD void describe(Words& words) {
    if constexpr (std::is_const_v<T> || std::is_volatile_v<T>) describe<std::remove_cv_t<T>>(words);
    else if constexpr (std::is_void_v<T>) words.add("v1");
    else if constexpr (std::is_same_v<T, bool>) words.add("b1");
    else if constexpr (std::is_enum_v<T>) describe<std::underlying_type_t<T>>(words);
    else if constexpr (std::is_integral_v<T>) words.add("%c%zu", std::is_signed_v<T> ? 'i' : 'u', sizeof(T));
#ifdef MINISK_HAS_HALF
    else if constexpr (std::is_same_v<T, minisk_half>) words.add("f2");
#endif
    else if constexpr (std::is_floating_point_v<T>) words.add("f%zu", sizeof(T));
    else if constexpr (std::is_pointer_v<T>) describe_pointer<T>(words);
    else if constexpr (std::is_array_v<T>) {
        describe<std::remove_extent_t<T>>(words);
        words.add("[%zu]", std::extent_v<T>);
    } else describe_class<T>(words);
}

// The parameters of a kernel, with a comma after each.
template <class... Parameters> MINISK_COLD const char* describe_parameters(void (*)(Parameters...)) {
    static Words words;
    words.length = 0;
    ((describe<Parameters>(words), words.add(",")), ...);
    return words.text;
}

// A device variable as Python sees it: its type as above, and where it lies.
template <class T> MINISK_COLD void* describe_variable(T& variable, const char** type, size_t* bytes) {
    static Words words;
    words.length = 0;
    describe<T>(words);
    *type = words.text;
    *bytes = sizeof variable;
    return const_cast<std::remove_cv_t<T>*>(&variable);
}

}  // namespace minisk

// Defines the functions by which Python launches a kernel and asks for its parameters: minisk_launch_<word> and
// minisk_parameters_<word>. What follows the word names the kernel; it may have commas, as k<float, 128> has.
#define MINISK_EXPORT_AS(word, ...)                                                              \
    MINISK_VISIBLE int minisk_launch_##word(struct minisk_launch* launch, char* packed) {        \
        return minisk::launch_kernel<&__VA_ARGS__>(*launch, packed);                             \
    }                                                                                            \
    MINISK_VISIBLE const char* minisk_parameters_##word() { return minisk::describe_parameters(&__VA_ARGS__); }
#define MINISK_EXPORT(kernel) MINISK_EXPORT_AS(kernel, kernel)

// Defines the function by which Python reads and writes a `__constant__` or `__device__` variable. The compiler must not
// take the variable for one that is never written: its address leaves the library here.
#define MINISK_EXPORT_VARIABLE(word, variable)                                                   \
    MINISK_VISIBLE void* minisk_variable_##word(const char** type, size_t* bytes) {              \
        return minisk::describe_variable(variable, type, bytes);                                 \
    }
