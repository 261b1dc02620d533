// Measures the peak of binary multiply-accumulates per second on one core, for each kernel set.
//
// A binary multiply-accumulate of many bits is an exclusive or, a count of bits and an addition.
// This program runs them on registers only, without loads and stores, and with as many independent
// sums as there are registers. The kernels count in the same way, so they lose time by loads, by
// widening the counts, by writing results, and by waiting. Another way to count could be faster.
//
// The output is "clock HERTZ", then "KERNELS BITS_PER_SECOND" for each set that the processor runs.
// The clock comes from a chain of additions, each of which waits one cycle for the previous one.
#include <stdint.h>
#include <stdio.h>

#include <chrono>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#else
#error "Expected x86-64 or AArch64."
#endif

namespace {

constexpr int kTrials = 30;
constexpr int64_t kRepeats = 200000;

// The minimum of several trials, because other work on the machine only makes a trial slower.
template <class Function>
double best_seconds(Function function) {
  double best = 1e9;
  for (int trial = 0; trial < kTrials; ++trial) {
    const auto start = std::chrono::steady_clock::now();
    function();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (taken.count() < best) best = taken.count();
  }
  return best;
}

void chain_of_additions() {
  uint64_t sum = 0;
  uint64_t one = 1;
  for (int64_t i = 0; i < kRepeats; ++i) {
#if defined(__x86_64__)
#define ADD "add %1, %0\n\t"
#else
#define ADD "add %0, %0, %1\n\t"
#endif
#define FOUR ADD ADD ADD ADD
    asm volatile(FOUR FOUR FOUR FOUR : "+r"(sum) : "r"(one));
  }
}
constexpr double kAdditions = 16.0 * kRepeats;

// STEP adds the number of differing bits of `weights` and `input` to a sum. The empty statement
// keeps the compiler from assuming that the weights are the same in each pass.
#define LOOP(Vector, kSums, constraint, ZERO, STEP)                        \
  Vector weights = ZERO;                                                   \
  Vector input = ZERO;                                                     \
  asm volatile("" : "+" constraint(weights), "+" constraint(input));       \
  Vector sums[kSums];                                                      \
  for (int s = 0; s < kSums; ++s) sums[s] = ZERO;                          \
  for (int64_t i = 0; i < kRepeats; ++i) {                                 \
    _Pragma("GCC unroll 16") for (int s = 0; s < kSums; ++s) {             \
      asm volatile("" : "+" constraint(weights));                          \
      sums[s] = STEP;                                                      \
    }                                                                      \
  }                                                                        \
  for (int s = 0; s < kSums; ++s) asm volatile("" : "+" constraint(sums[s]))

#if defined(__x86_64__)

typedef uint32_t Words __attribute__((vector_size(16)));
inline Words bits_of(Words x) {
  x -= x >> 1 & 0x55555555u;
  x = (x & 0x33333333u) + (x >> 2 & 0x33333333u);
  return (x + (x >> 4)) & 0x0f0f0f0fu;
}
void portable() {
  const Words zero = {0, 0, 0, 0};
  LOOP(Words, 4, "x", zero, sums[s] + bits_of(weights ^ input));
}
constexpr double kPortableBits = 4 * 128;

#define TABLE _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4)

__attribute__((target("avx2"))) void avx2() {
  __m256i table = _mm256_broadcastsi128_si256(TABLE);
  asm volatile("" : "+x"(table));
  LOOP(__m256i, 8, "x", _mm256_setzero_si256(),
       _mm256_add_epi8(sums[s], _mm256_shuffle_epi8(table, _mm256_xor_si256(weights, input))));
}
// The table takes half a byte at a time, so each byte of a vector holds four bits.
constexpr double kAvx2Bits = 8 * 256 / 2;

__attribute__((target("avx512f,avx512bw"))) void avx512() {
  __m512i table = _mm512_broadcast_i32x4(TABLE);
  asm volatile("" : "+v"(table));
  LOOP(__m512i, 16, "v", _mm512_setzero_si512(),
       _mm512_add_epi8(sums[s], _mm512_shuffle_epi8(table, _mm512_xor_si512(weights, input))));
}
constexpr double kAvx512Bits = 16 * 512 / 2;

__attribute__((target("avx512f,avx512vpopcntdq"))) void avx512_vpopcntdq() {
  LOOP(__m512i, 16, "v", _mm512_setzero_si512(),
       _mm512_add_epi32(sums[s], _mm512_popcnt_epi32(_mm512_xor_si512(weights, input))));
}
constexpr double kVpopcntdqBits = 16 * 512;

#else

void neon() {
  LOOP(uint8x16_t, 16, "w", vdupq_n_u8(0), vaddq_u8(sums[s], vcntq_u8(veorq_u8(weights, input))));
}
constexpr double kNeonBits = 16 * 128;

#endif

void print_peak(const char* name, void (*loop)(), double bits) {
  printf("%s %.6g\n", name, bits * kRepeats / best_seconds(loop));
}

}  // namespace

int main() {
  printf("clock %.6g\n", kAdditions / best_seconds(chain_of_additions));
#if defined(__x86_64__)
  print_peak("portable", portable, kPortableBits);
  if (__builtin_cpu_supports("avx2")) print_peak("avx2", avx2, kAvx2Bits);
  if (__builtin_cpu_supports("avx512bw")) print_peak("avx512", avx512, kAvx512Bits);
  if (__builtin_cpu_supports("avx512vpopcntdq")) {
    print_peak("avx512_vpopcntdq", avx512_vpopcntdq, kVpopcntdqBits);
  }
#else
  print_peak("neon", neon, kNeonBits);
#endif
  return 0;
}
