// Kernels for any processor, in 16-byte vectors that the compiler maps to its instructions.
#include "kernels/micro_kernel.h"

namespace kbnn {
namespace {

struct Portable {
  typedef uint32_t Words __attribute__((vector_size(16)));
  typedef int32_t Ints __attribute__((vector_size(16)));
  typedef float Floats __attribute__((vector_size(16)));
  using Count = Words;  // four counts of a byte in each lane

  static constexpr int kLanes = 4;
  static constexpr int kWordCopies = 1;
  static constexpr int kVectors = 2;
  static constexpr int kPositions = 2;
  static constexpr size_t kMaxSteps = 31;  // of at most 8 a byte

  template <class Vector, class Scalar>
  static KBNN_INLINE Vector load_vector(const Scalar* from) {
    Vector vector;
    __builtin_memcpy(&vector, from, sizeof(vector));
    return vector;
  }
  static KBNN_INLINE Words load(const uint32_t* from) { return load_vector<Words>(from); }
  static KBNN_INLINE Ints load(const int32_t* from) { return load_vector<Ints>(from); }
  static KBNN_INLINE Floats load(const float* from) { return load_vector<Floats>(from); }
  static KBNN_INLINE Words broadcast(const uint32_t* from) {
    return Words{*from, *from, *from, *from};
  }
  static KBNN_INLINE Ints set(int32_t x) { return Ints{x, x, x, x}; }

  static KBNN_INLINE Count no_count() { return Count{0, 0, 0, 0}; }
  static KBNN_INLINE Count count(Count counts, Words weights, Words input) {
    Words x = weights ^ input;
    x -= x >> 1 & 0x55555555u;
    x = (x & 0x33333333u) + (x >> 2 & 0x33333333u);
    return counts + ((x + (x >> 4)) & 0x0f0f0f0fu);
  }
  static KBNN_INLINE Ints widen(Ints sums, Count counts) {
    const Words pairs = (counts & 0x00ff00ffu) + (counts >> 8 & 0x00ff00ffu);
    return sums + (Ints)((pairs & 0xffffu) + (pairs >> 16));
  }

  static KBNN_INLINE Ints twice(Ints x) { return x + x; }
  static KBNN_INLINE Ints add(Ints a, Ints b) { return a + b; }
  static KBNN_INLINE Ints min(Ints a, Ints b) { return select(a < b, a, b); }
  static KBNN_INLINE Ints max(Ints a, Ints b) { return select(a > b, a, b); }
  static KBNN_INLINE Ints select(Ints mask, Ints yes, Ints no) {
    return (mask & yes) | (~mask & no);
  }
  static KBNN_INLINE Floats to_floats(Ints x) { return __builtin_convertvector(x, Floats); }
  static KBNN_INLINE Floats multiply(Floats a, Floats b) { return a * b; }
  static KBNN_INLINE Floats add(Floats a, Floats b) { return a + b; }
  static KBNN_INLINE uint32_t greater(Ints a, Ints b) {
    const Ints mask = a > b;
    return (mask[0] & 1) | (mask[1] & 2) | (mask[2] & 4) | (mask[3] & 8);
  }

  // Looks at the bits: a comparison of floats may flush denormal numbers to zero.
  static KBNN_INLINE bool is_negative(float value) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof(bits));
    return bits > 0x80000000u && bits <= 0xff800000u;
  }
  static KBNN_INLINE uint32_t negative(const Floats (&x)[kVectors]) {
    uint32_t bits = 0;
    for (int i = 0; i < kVectors * kLanes; ++i) {
      bits |= uint32_t{is_negative(x[i / kLanes][i % kLanes])} << i;
    }
    return bits;
  }

  static KBNN_INLINE Floats load_floats(const float* from, int count) {
    if (count >= kLanes) return load(from);
    Floats x = {0, 0, 0, 0};
    for (int lane = 0; lane < count; ++lane) x[lane] = from[lane];
    return x;
  }
  static KBNN_INLINE void store_floats(float* to, Floats x, int count) {
    if (count >= kLanes) {
      __builtin_memcpy(to, &x, sizeof(x));
    } else {
      for (int lane = 0; lane < count; ++lane) to[lane] = x[lane];
    }
  }
  static KBNN_INLINE void store_rounded(int8_t* to, Floats x, int count) {
    for (int lane = 0; lane < kLanes && lane < count; ++lane) to[lane] = round_to_int8(x[lane]);
  }
  // Rounds halves away from zero. NaN becomes -128, in every kernel set.
  static KBNN_INLINE int8_t round_to_int8(float x) {
    x = x > -128.0f ? x : -128.0f;
    x = x < 127.0f ? x : 127.0f;
    const int32_t truncated = static_cast<int32_t>(x);
    const float rest = x - static_cast<float>(truncated);
    return static_cast<int8_t>(truncated + (rest >= 0.5f) - (rest <= -0.5f));
  }
};

void pack_float(const float* values, size_t rows, size_t channels, uint32_t* words) {
  pack_rows(
      values, rows, channels, words,
      [](const float* from) {
        uint32_t word = 0;
        for (int bit = 0; bit < 32; ++bit) {
          word |= uint32_t{Portable::is_negative(from[bit])} << bit;
        }
        return word;
      },
      Portable::is_negative);
}

void pack_int8(const int8_t* values, size_t rows, size_t channels, int8_t zero_point,
               uint32_t* words) {
  pack_rows(
      values, rows, channels, words,
      [zero_point](const int8_t* from) {
        uint32_t word = 0;
        for (int bit = 0; bit < 32; ++bit) word |= uint32_t{from[bit] < zero_point} << bit;
        return word;
      },
      [zero_point](int8_t value) { return value < zero_point; });
}

void unpack_float(const uint32_t* words, size_t rows, size_t channels, float* values) {
  unpack_rows(words, rows, channels, 1.0f, -1.0f, values, [](uint32_t word, float* to) {
    for (int bit = 0; bit < 32; ++bit) to[bit] = word >> bit & 1 ? -1.0f : 1.0f;
  });
}

void unpack_bytes(const uint32_t* words, size_t rows, size_t channels, uint8_t zero, uint8_t one,
                  uint8_t* values) {
  unpack_rows(words, rows, channels, zero, one, values, [zero, one](uint32_t word, uint8_t* to) {
    for (int bit = 0; bit < 32; ++bit) to[bit] = word >> bit & 1 ? one : zero;
  });
}

KBNN_COPY_PIXELS(copy_words)

}  // namespace

const Kernels kPortableKernels = {
    "portable",
    Portable::kLanes * Portable::kVectors,
    1,
    1,
    copy_pixels,
    compute_tile<Portable, FloatOutput>,
    compute_tile<Portable, SumOutput>,
    compute_tile<Portable, Int8Output>,
    compute_tile<Portable, PackedOutput>,
    pack_float,
    pack_int8,
    unpack_float,
    unpack_bytes,
};

}  // namespace kbnn
