// The kernels of one ISA, written once, compiled once per isa_*.cc.

constexpr bool nativeBFloat16 =
#ifdef __AVX512BF16__
    true;
#else
    false;
#endif

constexpr Backend table = {
    .name = isaName,
    .isSupported = isSupported,
    .nativeBFloat16 = nativeBFloat16,

};
