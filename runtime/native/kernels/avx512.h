// Everything but the popcount, which is where the two AVX-512 kernel sets differ.
#ifndef KBNN_KERNELS_AVX512_H_
#define KBNN_KERNELS_AVX512_H_

#if defined(__GNUC__) && !defined(__clang__)
// GCC's avx512fintrin.h initializes undefined vectors with themselves (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "kernels/micro_kernel.h"

namespace kbnn {
namespace {

struct Avx512 {
  using Words = __m512i;
  using Ints = __m512i;
  using Floats = __m512;

  static constexpr int kLanes = 16;
  static constexpr int kWordCopies = 1;
  static constexpr int kVectors = 2;

  static KBNN_INLINE Words load(const uint32_t* from) { return _mm512_loadu_si512(from); }
  static KBNN_INLINE Ints load(const int32_t* from) { return _mm512_loadu_si512(from); }
  static KBNN_INLINE Floats load(const float* from) { return _mm512_loadu_ps(from); }
  static KBNN_INLINE Words broadcast(const uint32_t* from) {
    return _mm512_set1_epi32(static_cast<int32_t>(*from));
  }
  static KBNN_INLINE Ints set(int32_t x) { return _mm512_set1_epi32(x); }

  static KBNN_INLINE Ints twice(Ints x) { return _mm512_add_epi32(x, x); }
  static KBNN_INLINE Ints add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
  static KBNN_INLINE Ints min(Ints a, Ints b) { return _mm512_min_epi32(a, b); }
  static KBNN_INLINE Ints max(Ints a, Ints b) { return _mm512_max_epi32(a, b); }
  static KBNN_INLINE Floats to_floats(Ints x) { return _mm512_cvtepi32_ps(x); }
  static KBNN_INLINE Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static KBNN_INLINE Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static KBNN_INLINE uint32_t greater(Ints a, Ints b) { return _mm512_cmpgt_epi32_mask(a, b); }

  static KBNN_INLINE __mmask16 first_lanes(int count) {
    return static_cast<__mmask16>((1u << count) - 1);
  }
  static KBNN_INLINE uint32_t negative(const Floats (&x)[kVectors]) {
    const uint32_t low = _mm512_cmp_ps_mask(x[0], _mm512_setzero_ps(), _CMP_LT_OQ);
    const uint32_t high = _mm512_cmp_ps_mask(x[1], _mm512_setzero_ps(), _CMP_LT_OQ);
    return low | high << kLanes;
  }
  static KBNN_INLINE Floats load_floats(const float* from, int count) {
    return count >= kLanes ? load(from) : _mm512_maskz_loadu_ps(first_lanes(count), from);
  }
  static KBNN_INLINE void store_floats(float* to, Floats x, int count) {
    if (count >= kLanes) {
      _mm512_storeu_ps(to, x);
    } else {
      _mm512_mask_storeu_ps(to, first_lanes(count), x);
    }
  }
  static KBNN_INLINE void store_rounded(int8_t* to, Floats x, int count) {
    // max and min return their second operand if the first is NaN.
    x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-128.0f)), _mm512_set1_ps(127.0f));
    const Ints truncated = _mm512_cvttps_epi32(x);
    const Floats rest = _mm512_sub_ps(x, _mm512_cvtepi32_ps(truncated));
    const Ints one = _mm512_set1_epi32(1);
    const __mmask16 up = _mm512_cmp_ps_mask(rest, _mm512_set1_ps(0.5f), _CMP_GE_OQ);
    const __mmask16 down = _mm512_cmp_ps_mask(rest, _mm512_set1_ps(-0.5f), _CMP_LE_OQ);
    Ints rounded = _mm512_mask_add_epi32(truncated, up, truncated, one);
    rounded = _mm512_mask_sub_epi32(rounded, down, rounded, one);
    _mm512_mask_cvtepi32_storeu_epi8(to, count >= kLanes ? 0xffff : first_lanes(count), rounded);
  }
};

void pack_float(const float* values, size_t rows, size_t channels, uint32_t* words) {
  pack_rows(
      values, rows, channels, words,
      [](const float* from) {
        const __m512 zero = _mm512_setzero_ps();
        const uint32_t low = _mm512_cmp_ps_mask(_mm512_loadu_ps(from), zero, _CMP_LT_OQ);
        const uint32_t high = _mm512_cmp_ps_mask(_mm512_loadu_ps(from + 16), zero, _CMP_LT_OQ);
        return low | high << 16;
      },
      [](float value) { return value < 0.0f; });
}

void pack_int8(const int8_t* values, size_t rows, size_t channels, int8_t zero_point,
               uint32_t* words) {
  const __m256i zero = _mm256_set1_epi8(zero_point);
  pack_rows(
      values, rows, channels, words,
      [zero](const int8_t* from) {
        const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
        return static_cast<uint32_t>(_mm256_cmpgt_epi8_mask(zero, bytes));
      },
      [zero_point](int8_t value) { return value < zero_point; });
}

void unpack_float(const uint32_t* words, size_t rows, size_t channels, float* values) {
  const __m512 plus = _mm512_set1_ps(1.0f);
  const __m512 minus = _mm512_set1_ps(-1.0f);
  unpack_rows(words, rows, channels, 1.0f, -1.0f, values, [=](uint32_t word, float* to) {
    const __mmask16 low = static_cast<__mmask16>(word);
    const __mmask16 high = static_cast<__mmask16>(word >> 16);
    _mm512_storeu_ps(to, _mm512_mask_blend_ps(low, plus, minus));
    _mm512_storeu_ps(to + 16, _mm512_mask_blend_ps(high, plus, minus));
  });
}

void unpack_bytes(const uint32_t* words, size_t rows, size_t channels, uint8_t zero, uint8_t one,
                  uint8_t* values) {
  const __m256i zeros = _mm256_set1_epi8(static_cast<char>(zero));
  const __m256i ones = _mm256_set1_epi8(static_cast<char>(one));
  unpack_rows(words, rows, channels, zero, one, values, [=](uint32_t word, uint8_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        _mm256_mask_blend_epi8(static_cast<__mmask32>(word), zeros, ones));
  });
}

}  // namespace
}  // namespace kbnn

#endif  // KBNN_KERNELS_AVX512_H_
