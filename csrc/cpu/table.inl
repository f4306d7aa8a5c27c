// The kernels of one ISA, written once, compiled once per isa_*.cc.
#include "flash_attention_products.inl"
#include "flash_attention_plan.inl"
#include "flash_attention_pack.inl"
#include "flash_attention_softmax.inl"
#include "flash_attention.inl"
#include "attention.inl"

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
    .attention = attention,

};
