// Kernels for x86-64 with AVX2. Popcount by table lookup, half a byte at a time.
#include <immintrin.h>

#include "kernels/micro_kernel.h"

namespace kbnn {
namespace {

struct Avx2 {
  using Words = __m256i;
  using Ints = __m256i;
  using Floats = __m256;
  using Count = __m256i;  // four counts of a byte in each lane

  static constexpr int kLanes = 8;
  static constexpr int kWordCopies = 1;
  static constexpr int kVectors = 2;
  static constexpr int kPositions = 4;
  static constexpr size_t kMaxSteps = 63;  // of at most 4 a byte

  static KBNN_INLINE Words load(const uint32_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static KBNN_INLINE Ints load(const int32_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static KBNN_INLINE Floats load(const float* from) { return _mm256_loadu_ps(from); }
  static KBNN_INLINE Words broadcast(const uint32_t* from) {
    return _mm256_set1_epi32(static_cast<int32_t>(*from));
  }
  static KBNN_INLINE Ints set(int32_t x) { return _mm256_set1_epi32(x); }

  static KBNN_INLINE Count no_count() { return _mm256_setzero_si256(); }
  static KBNN_INLINE Count count(Count counts, Words weights, Words input) {
    // Half bytes are stored separately, so each byte is an index.
    const __m256i table =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    return _mm256_add_epi8(counts, _mm256_shuffle_epi8(table, _mm256_xor_si256(weights, input)));
  }
  static KBNN_INLINE Ints widen(Ints sums, Count counts) {
    const __m256i pairs = _mm256_maddubs_epi16(counts, _mm256_set1_epi8(1));
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }

  static KBNN_INLINE Ints twice(Ints x) { return _mm256_add_epi32(x, x); }
  static KBNN_INLINE Ints add(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
  static KBNN_INLINE Ints min(Ints a, Ints b) { return _mm256_min_epi32(a, b); }
  static KBNN_INLINE Ints max(Ints a, Ints b) { return _mm256_max_epi32(a, b); }
  static KBNN_INLINE Floats to_floats(Ints x) { return _mm256_cvtepi32_ps(x); }
  static KBNN_INLINE Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static KBNN_INLINE Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static KBNN_INLINE uint32_t greater(Ints a, Ints b) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b))));
  }

  static KBNN_INLINE uint32_t negative(const Floats (&x)[kVectors]) {
    uint32_t bits = 0;
    KBNN_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      const Floats below = _mm256_cmp_ps(x[v], _mm256_setzero_ps(), _CMP_LT_OQ);
      bits |= static_cast<uint32_t>(_mm256_movemask_ps(below)) << v * kLanes;
    }
    return bits;
  }

  static KBNN_INLINE __m256i first_lanes(int count) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lanes);
  }
  static KBNN_INLINE Floats load_floats(const float* from, int count) {
    return count >= kLanes ? load(from) : _mm256_maskload_ps(from, first_lanes(count));
  }
  static KBNN_INLINE void store_floats(float* to, Floats x, int count) {
    if (count >= kLanes) {
      _mm256_storeu_ps(to, x);
    } else {
      _mm256_maskstore_ps(to, first_lanes(count), x);
    }
  }
  static KBNN_INLINE void store_rounded(int8_t* to, Floats x, int count) {
    // max and min return their second operand if the first is NaN.
    x = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(-128.0f)), _mm256_set1_ps(127.0f));
    const Floats truncated = _mm256_round_ps(x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
    const Floats rest = _mm256_sub_ps(x, truncated);
    // A true comparison is -1 as an integer.
    const Ints up = _mm256_castps_si256(_mm256_cmp_ps(rest, _mm256_set1_ps(0.5f), _CMP_GE_OQ));
    const Ints down = _mm256_castps_si256(_mm256_cmp_ps(rest, _mm256_set1_ps(-0.5f), _CMP_LE_OQ));
    const Ints rounded =
        _mm256_add_epi32(_mm256_sub_epi32(_mm256_cvttps_epi32(truncated), up), down);
    const __m128i halves =
        _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
    const __m128i bytes = _mm_packs_epi16(halves, halves);
    if (count >= kLanes) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to), bytes);
    } else {
      alignas(16) int8_t all[16];
      _mm_store_si128(reinterpret_cast<__m128i*>(all), bytes);
      for (int lane = 0; lane < count; ++lane) to[lane] = all[lane];
    }
  }
};

void pack_float(const float* values, size_t rows, size_t channels, uint32_t* words) {
  pack_rows(
      values, rows, channels, words,
      [](const float* from) {
        const __m256 zero = _mm256_setzero_ps();
        uint32_t word = 0;
        KBNN_UNROLL
        for (int i = 0; i < 4; ++i) {
          const __m256 below = _mm256_cmp_ps(_mm256_loadu_ps(from + 8 * i), zero, _CMP_LT_OQ);
          word |= static_cast<uint32_t>(_mm256_movemask_ps(below)) << 8 * i;
        }
        return word;
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
        return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpgt_epi8(zero, bytes)));
      },
      [zero_point](int8_t value) { return value < zero_point; });
}

void unpack_float(const uint32_t* words, size_t rows, size_t channels, float* values) {
  const __m256i shifts = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
  const __m256i sign = _mm256_set1_epi32(INT32_MIN);
  const __m256i plus_one = _mm256_castps_si256(_mm256_set1_ps(1.0f));
  unpack_rows(words, rows, channels, 1.0f, -1.0f, values, [=](uint32_t word, float* to) {
    KBNN_UNROLL
    for (int i = 0; i < 4; ++i) {
      const __m256i bits = _mm256_set1_epi32(static_cast<int32_t>(word >> 8 * i));
      const __m256i signs = _mm256_and_si256(_mm256_sllv_epi32(bits, shifts), sign);
      _mm256_storeu_ps(to + 8 * i, _mm256_castsi256_ps(_mm256_or_si256(signs, plus_one)));
    }
  });
}

void unpack_bytes(const uint32_t* words, size_t rows, size_t channels, uint8_t zero, uint8_t one,
                  uint8_t* values) {
  const __m256i which_byte = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,  //
                                              2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m256i which_bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201u));
  const __m256i zeros = _mm256_set1_epi8(static_cast<char>(zero));
  const __m256i ones = _mm256_set1_epi8(static_cast<char>(one));
  unpack_rows(words, rows, channels, zero, one, values, [=](uint32_t word, uint8_t* to) {
    const __m256i bytes =
        _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int32_t>(word)), which_byte);
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, which_bit), which_bit);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_blendv_epi8(zeros, ones, set));
  });
}

KBNN_COPY_PIXELS(copy_halves)

}  // namespace

const Kernels kAvx2Kernels = {
    "avx2",
    Avx2::kLanes * Avx2::kVectors,
    2,
    1,
    copy_pixels,
    compute_tile<Avx2, FloatOutput>,
    compute_tile<Avx2, SumOutput>,
    compute_tile<Avx2, Int8Output>,
    compute_tile<Avx2, PackedOutput>,
    pack_float,
    pack_int8,
    unpack_float,
    unpack_bytes,
};

}  // namespace kbnn
