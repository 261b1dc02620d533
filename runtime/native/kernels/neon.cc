// Kernels for ARM with NEON, 64-bit and 32-bit.
//
// On 32-bit ARM, NEON flushes denormal numbers to zero. Only there outputs may differ from the
// other kernel sets, namely where a multiplier, a bias or a result is below 1.2e-38.
#include <arm_neon.h>

#include "kernels/micro_kernel.h"

namespace kbnn {
namespace {

struct Neon {
  using Words = uint32x4_t;
  using Ints = int32x4_t;
  using Floats = float32x4_t;
  using Count = uint8x16_t;  // four counts of a byte in each lane

  static constexpr int kLanes = 4;
#if defined(__aarch64__)
  // 32 registers hold 16 counts, 4 filters, the inputs and their differences.
  static constexpr int kVectors = 4;
  static constexpr int kPositions = 4;
  // A load with broadcast occupies the units that count bits (Cortex-A72, A76); a plain load does
  // not.
  static constexpr int kWordCopies = kLanes;
#else
  // 16 registers hold 8 counts, 2 filters, an input and its differences.
  static constexpr int kVectors = 2;
  static constexpr int kPositions = 4;
  static constexpr int kWordCopies = 1;
#endif
  static constexpr size_t kMaxSteps = 31;  // of at most 8 a byte

  static KBNN_INLINE Words load(const uint32_t* from) { return vld1q_u32(from); }
  static KBNN_INLINE Ints load(const int32_t* from) { return vld1q_s32(from); }
  static KBNN_INLINE Floats load(const float* from) { return vld1q_f32(from); }
  static KBNN_INLINE Words broadcast(const uint32_t* from) {
    return kWordCopies == kLanes ? vld1q_u32(from) : vld1q_dup_u32(from);
  }
  static KBNN_INLINE Ints set(int32_t x) { return vdupq_n_s32(x); }

  static KBNN_INLINE Count no_count() { return vdupq_n_u8(0); }
  static KBNN_INLINE Count count(Count counts, Words weights, Words input) {
    return vaddq_u8(counts, vcntq_u8(vreinterpretq_u8_u32(veorq_u32(weights, input))));
  }
  static KBNN_INLINE Ints widen(Ints sums, Count counts) {
    return vreinterpretq_s32_u32(vpadalq_u16(vreinterpretq_u32_s32(sums), vpaddlq_u8(counts)));
  }

  static KBNN_INLINE Ints twice(Ints x) { return vshlq_n_s32(x, 1); }
  static KBNN_INLINE Ints add(Ints a, Ints b) { return vaddq_s32(a, b); }
  static KBNN_INLINE Ints min(Ints a, Ints b) { return vminq_s32(a, b); }
  static KBNN_INLINE Ints max(Ints a, Ints b) { return vmaxq_s32(a, b); }
  static KBNN_INLINE Floats to_floats(Ints x) { return vcvtq_f32_s32(x); }
  static KBNN_INLINE Floats multiply(Floats a, Floats b) { return vmulq_f32(a, b); }
  static KBNN_INLINE Floats add(Floats a, Floats b) { return vaddq_f32(a, b); }
  static KBNN_INLINE uint32_t greater(Ints a, Ints b) {
    const uint32_t which[4] = {1, 2, 4, 8};
    const uint32x4_t bits = vandq_u32(vcgtq_s32(a, b), vld1q_u32(which));
#if defined(__aarch64__)
    return vaddvq_u32(bits);
#else
    const uint32x2_t pairs = vpadd_u32(vget_low_u32(bits), vget_high_u32(bits));
    return vget_lane_u32(vpadd_u32(pairs, pairs), 0);
#endif
  }
  // Looks at the bits: NEON's comparison of floats flushes denormal numbers to zero on 32-bit ARM,
  // and on 64-bit ARM if the process asks for it.
  static KBNN_INLINE uint32x4_t are_negative(Floats x) {
    const uint32x4_t bits = vreinterpretq_u32_f32(x);
    return vcleq_u32(vsubq_u32(bits, vdupq_n_u32(0x80000001u)), vdupq_n_u32(0x7f7fffffu));
  }
  static KBNN_INLINE uint16x8_t narrow(uint32x4_t low, uint32x4_t high) {
    return vcombine_u16(vmovn_u32(low), vmovn_u32(high));
  }
  static KBNN_INLINE uint32_t negative(const Floats (&x)[kVectors]) {
    const uint8_t which[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint16x8_t first = narrow(are_negative(x[0]), are_negative(x[1]));
#if defined(__aarch64__)
    const uint16x8_t second = narrow(are_negative(x[2]), are_negative(x[3]));
    const uint8x16_t bits =
        vandq_u8(vcombine_u8(vmovn_u16(first), vmovn_u16(second)), vld1q_u8(which));
    return vaddv_u8(vget_low_u8(bits)) | uint32_t{vaddv_u8(vget_high_u8(bits))} << 8;
#else
    uint8x8_t bits = vand_u8(vmovn_u16(first), vld1_u8(which));
    for (int i = 0; i < 3; ++i) bits = vpadd_u8(bits, bits);
    return vget_lane_u8(bits, 0);
#endif
  }

  static KBNN_INLINE Floats load_floats(const float* from, int count) {
    if (count >= kLanes) return load(from);
    float all[kLanes] = {0, 0, 0, 0};
    for (int lane = 0; lane < count; ++lane) all[lane] = from[lane];
    return load(all);
  }
  static KBNN_INLINE void store_floats(float* to, Floats x, int count) {
    if (count >= kLanes) {
      vst1q_f32(to, x);
    } else {
      float all[kLanes];
      vst1q_f32(all, x);
      for (int lane = 0; lane < count; ++lane) to[lane] = all[lane];
    }
  }
  static KBNN_INLINE void store_rounded(int8_t* to, Floats x, int count) {
    // NaN compares false, so it becomes -128, as in every kernel set.
    const Floats least = vdupq_n_f32(-128.0f);
    x = vminq_f32(vbslq_f32(vcgtq_f32(x, least), x, least), vdupq_n_f32(127.0f));
#if defined(__aarch64__)
    const Ints rounded = vcvtaq_s32_f32(x);
#else
    const Ints truncated = vcvtq_s32_f32(x);
    const Floats rest = vsubq_f32(x, vcvtq_f32_s32(truncated));
    // A true comparison is -1 as an integer.
    const Ints up = vreinterpretq_s32_u32(vcgeq_f32(rest, vdupq_n_f32(0.5f)));
    const Ints down = vreinterpretq_s32_u32(vcleq_f32(rest, vdupq_n_f32(-0.5f)));
    const Ints rounded = vaddq_s32(vsubq_s32(truncated, up), down);
#endif
    const int16x4_t halves = vmovn_s32(rounded);
    int8_t all[8];
    vst1_s8(all, vmovn_s16(vcombine_s16(halves, halves)));
    if (count >= kLanes) {
      __builtin_memcpy(to, all, kLanes);
    } else {
      for (int lane = 0; lane < count; ++lane) to[lane] = all[lane];
    }
  }
};

#if defined(__aarch64__)
// Scheduled by hand for in-order processors (Cortex-A53, A55). Every instruction's operands were
// started eight instructions earlier. The next step's words are loaded while this step's are
// counted, with each load between two counts and its offset in a register: in LLVM's model of
// Cortex-A55, that form of load runs in parallel with a count. Compilers place dependent
// instructions closer together and load registers in pairs, which is slow on that core.
//   v0-v3    filters     v4-v7    one word of each of the four inputs
//   v8-v15   two inputs' differing bits
// clang-format off
#define KBNN_EOR(to, a, b) "eor v" #to ".16b, v" #a ".16b, v" #b ".16b\n"
#define KBNN_CNT(x) "cnt v" #x ".16b, v" #x ".16b\n"
#define KBNN_ADD(to, x) "add %[" #to "].16b, %[" #to "].16b, v" #x ".16b\n"
#define KBNN_ZERO(to) "movi %[" #to "].16b, #0\n"
#define KBNN_FILTER(i) "ldr q" #i ", [%[f" #i "], %[filter_at]]\n"
#define KBNN_INPUT(i, to) "ldr q" #to ", [%[p" #i "], %[input_at]]\n"
#define KBNN_DIFFER(a, b)                                                 \
  KBNN_EOR(8, a, 0) KBNN_EOR(9, b, 0) KBNN_EOR(10, a, 1)                  \
  KBNN_EOR(11, b, 1) KBNN_EOR(12, a, 2) KBNN_EOR(13, b, 2)                \
  KBNN_EOR(14, a, 3) KBNN_EOR(15, b, 3)
#define KBNN_COUNT                                                        \
  KBNN_CNT(8) KBNN_CNT(9) KBNN_CNT(10) KBNN_CNT(11)                       \
  KBNN_CNT(12) KBNN_CNT(13) KBNN_CNT(14) KBNN_CNT(15)
#define KBNN_COUNT_AND_LOAD                                               \
  KBNN_CNT(8) KBNN_FILTER(0) KBNN_CNT(9) KBNN_FILTER(1)                   \
  KBNN_CNT(10) KBNN_FILTER(2) KBNN_CNT(11) KBNN_FILTER(3)                 \
  KBNN_CNT(12) KBNN_INPUT(0, 4) KBNN_CNT(13) KBNN_INPUT(1, 5)             \
  KBNN_CNT(14) KBNN_INPUT(2, 6) KBNN_CNT(15) KBNN_INPUT(3, 7)
#define KBNN_SUM(a, b)                                                    \
  KBNN_ADD(a##0, 8) KBNN_ADD(b##0, 9) KBNN_ADD(a##1, 10)                  \
  KBNN_ADD(b##1, 11) KBNN_ADD(a##2, 12) KBNN_ADD(b##2, 13)                \
  KBNN_ADD(a##3, 14) KBNN_ADD(b##3, 15)
#define KBNN_NO_COUNTS(a) KBNN_ZERO(a##0) KBNN_ZERO(a##1) KBNN_ZERO(a##2) KBNN_ZERO(a##3)
#define KBNN_COUNTS(a, p)                                                 \
  [a##0] "=&w"(counts[p][0]), [a##1] "=&w"(counts[p][1]),                 \
  [a##2] "=&w"(counts[p][2]), [a##3] "=&w"(counts[p][3])
// clang-format on

template <>
KBNN_INLINE void count_words<Neon, 4>(const uint32_t* const (&patches)[4], const uint32_t* weights,
                                      size_t steps, Neon::Count (&counts)[4][4]) {
  // Byte offsets relative to the last step's words; they count up to 0.
  const size_t last = steps - 1;
  size_t input_at = 0 - last * Neon::kWordCopies * sizeof(uint32_t);
  size_t filter_at = 0 - last * 4 * Neon::kLanes * sizeof(uint32_t);
  const uint32_t* filters = weights + last * 4 * Neon::kLanes;
  __asm__ volatile(
      KBNN_NO_COUNTS(a) KBNN_NO_COUNTS(b) KBNN_NO_COUNTS(c) KBNN_NO_COUNTS(d)
      KBNN_FILTER(0) KBNN_FILTER(1) KBNN_FILTER(2) KBNN_FILTER(3)
      KBNN_INPUT(0, 4) KBNN_INPUT(1, 5) KBNN_INPUT(2, 6) KBNN_INPUT(3, 7)
      "cbz %[input_at], 2f\n"
      "1:\n"
      KBNN_DIFFER(4, 5) KBNN_COUNT KBNN_SUM(a, b)
      KBNN_DIFFER(6, 7)
      "add %[filter_at], %[filter_at], #64\n"
      "adds %[input_at], %[input_at], #16\n"
      KBNN_COUNT_AND_LOAD KBNN_SUM(c, d)
      "b.ne 1b\n"
      // The last step, which loads nothing.
      "2:\n"
      KBNN_DIFFER(4, 5) KBNN_COUNT KBNN_SUM(a, b)
      KBNN_DIFFER(6, 7) KBNN_COUNT KBNN_SUM(c, d)
      : KBNN_COUNTS(a, 0), KBNN_COUNTS(b, 1), KBNN_COUNTS(c, 2), KBNN_COUNTS(d, 3),
        [input_at] "+r"(input_at), [filter_at] "+r"(filter_at)
      : [p0] "r"(patches[0] + last * Neon::kWordCopies),
        [p1] "r"(patches[1] + last * Neon::kWordCopies),
        [p2] "r"(patches[2] + last * Neon::kWordCopies),
        [p3] "r"(patches[3] + last * Neon::kWordCopies), [f0] "r"(filters), [f1] "r"(filters + 4),
        [f2] "r"(filters + 8), [f3] "r"(filters + 12)
      : "cc", "memory", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11",
        "v12", "v13", "v14", "v15");
}

// copy_pixels that repeats each word once for each lane of a vector.
template <size_t kWords>
KBNN_INLINE void copy_vectors(const uint32_t* source, size_t source_step, size_t columns,
                              size_t words, uint32_t* target, size_t target_step) {
  const size_t count = kWords == 0 ? words : kWords;
  for (size_t column = 0; column < columns; ++column) {
    for (size_t i = 0; i < count; ++i) vst1q_u32(target + 4 * i, vld1q_dup_u32(source + i));
    source += source_step;
    target += target_step;
  }
}
KBNN_COPY_PIXELS(copy_vectors)
#else
KBNN_COPY_PIXELS(copy_words)
#endif

// One bit for each of 32 bytes, which are all ones or all zeros.
KBNN_INLINE uint32_t first_bits(uint8x16_t low, uint8x16_t high) {
  const uint8_t which[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const uint8x16_t bits = vld1q_u8(which);
  low = vandq_u8(low, bits);
  high = vandq_u8(high, bits);
  const uint8x8_t a = vpadd_u8(vget_low_u8(low), vget_high_u8(low));
  const uint8x8_t b = vpadd_u8(vget_low_u8(high), vget_high_u8(high));
  const uint8x8_t ab = vpadd_u8(a, b);
  return vget_lane_u32(vreinterpret_u32_u8(vpadd_u8(ab, ab)), 0);
}

// The scalar Neon::are_negative.
KBNN_INLINE bool is_negative(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  return bits - 0x80000001u <= 0x7f7fffffu;
}
KBNN_INLINE uint32x4_t are_negative(const float* from) {
  return Neon::are_negative(vld1q_f32(from));
}
KBNN_INLINE uint8x16_t are_16_negative(const float* from) {
  const uint16x8_t low = Neon::narrow(are_negative(from), are_negative(from + 4));
  const uint16x8_t high = Neon::narrow(are_negative(from + 8), are_negative(from + 12));
  return vcombine_u8(vmovn_u16(low), vmovn_u16(high));
}

void pack_float(const float* values, size_t rows, size_t channels, uint32_t* words) {
  pack_rows(
      values, rows, channels, words,
      [](const float* from) {
        return first_bits(are_16_negative(from), are_16_negative(from + 16));
      },
      is_negative);
}

void pack_int8(const int8_t* values, size_t rows, size_t channels, int8_t zero_point,
               uint32_t* words) {
  const int8x16_t zero = vdupq_n_s8(zero_point);
  pack_rows(
      values, rows, channels, words,
      [zero](const int8_t* from) {
        return first_bits(vcltq_s8(vld1q_s8(from), zero), vcltq_s8(vld1q_s8(from + 16), zero));
      },
      [zero_point](int8_t value) { return value < zero_point; });
}

void unpack_float(const uint32_t* words, size_t rows, size_t channels, float* values) {
  const int32_t first_shifts[4] = {31, 30, 29, 28};
  const int32x4_t shifts = vld1q_s32(first_shifts);
  const uint32x4_t sign = vdupq_n_u32(0x80000000u);
  const uint32x4_t plus_one = vreinterpretq_u32_f32(vdupq_n_f32(1.0f));
  unpack_rows(words, rows, channels, 1.0f, -1.0f, values, [=](uint32_t word, float* to) {
    KBNN_UNROLL
    for (int i = 0; i < 8; ++i) {
      const uint32x4_t bits = vshlq_u32(vdupq_n_u32(word >> 4 * i), shifts);
      vst1q_f32(to + 4 * i, vreinterpretq_f32_u32(vorrq_u32(vandq_u32(bits, sign), plus_one)));
    }
  });
}

void unpack_bytes(const uint32_t* words, size_t rows, size_t channels, uint8_t zero, uint8_t one,
                  uint8_t* values) {
  const uint8_t which[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  const uint8x8_t bits = vld1_u8(which);
  const uint8x8_t zeros = vdup_n_u8(zero);
  const uint8x8_t ones = vdup_n_u8(one);
  unpack_rows(words, rows, channels, zero, one, values, [=](uint32_t word, uint8_t* to) {
    KBNN_UNROLL
    for (int i = 0; i < 4; ++i) {
      const uint8x8_t set = vtst_u8(vdup_n_u8(static_cast<uint8_t>(word >> 8 * i)), bits);
      vst1_u8(to + 8 * i, vbsl_u8(set, ones, zeros));
    }
  });
}

}  // namespace

const Kernels kNeonKernels = {
    "neon",
    Neon::kLanes * Neon::kVectors,
    1,
    Neon::kWordCopies,
    copy_pixels,
    compute_tile<Neon, FloatOutput>,
    compute_tile<Neon, SumOutput>,
    compute_tile<Neon, Int8Output>,
    compute_tile<Neon, PackedOutput>,
    pack_float,
    pack_int8,
    unpack_float,
    unpack_bytes,
};

}  // namespace kbnn
