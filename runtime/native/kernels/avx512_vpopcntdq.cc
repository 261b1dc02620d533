// Kernels for x86-64 with AVX-512 F, BW, VL and VPOPCNTDQ, which has a popcount instruction.
#include "kernels/avx512.h"

namespace kbnn {
namespace {

struct ByInstruction : Avx512 {
  using Count = __m512i;  // a count in each lane

  static constexpr int kPositions = 8;
  // At most 32 bits a step, so a patch of any size that this library accepts fits.
  static constexpr size_t kMaxSteps = size_t{1} << 25;

  static KBNN_INLINE Count no_count() { return _mm512_setzero_si512(); }
  static KBNN_INLINE Count count(Count counts, Words weights, Words input) {
    return _mm512_add_epi32(counts, _mm512_popcnt_epi32(_mm512_xor_si512(weights, input)));
  }
  static KBNN_INLINE Ints widen(Ints sums, Count counts) { return _mm512_add_epi32(sums, counts); }
};

KBNN_COPY_PIXELS(copy_words)

}  // namespace

const Kernels kAvx512VpopcntdqKernels = {
    "avx512_vpopcntdq",
    ByInstruction::kLanes * ByInstruction::kVectors,
    1,
    1,
    copy_pixels,
    compute_tile<ByInstruction, FloatOutput>,
    compute_tile<ByInstruction, SumOutput>,
    compute_tile<ByInstruction, Int8Output>,
    compute_tile<ByInstruction, PackedOutput>,
    pack_float,
    pack_int8,
    unpack_float,
    unpack_bytes,
};

}  // namespace kbnn
