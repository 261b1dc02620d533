// Kernels for x86-64 with AVX-512 F, BW and VL. Popcount by table lookup, half a byte at a time.
#include "kernels/avx512.h"

namespace kbnn {
namespace {

struct ByTable : Avx512 {
  using Count = __m512i;  // four counts of a byte in each lane

  static constexpr int kPositions = 8;
  static constexpr size_t kMaxSteps = 63;  // of at most 4 a byte

  static KBNN_INLINE Count no_count() { return _mm512_setzero_si512(); }
  static KBNN_INLINE Count count(Count counts, Words weights, Words input) {
    // Half bytes are stored separately, so each byte is an index.
    const __m512i table =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    return _mm512_add_epi8(counts, _mm512_shuffle_epi8(table, _mm512_xor_si512(weights, input)));
  }
  static KBNN_INLINE Ints widen(Ints sums, Count counts) {
    const __m512i pairs = _mm512_maddubs_epi16(counts, _mm512_set1_epi8(1));
    return _mm512_add_epi32(sums, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
  }
};

KBNN_COPY_PIXELS(copy_halves)

}  // namespace

const Kernels kAvx512Kernels = {
    "avx512",
    ByTable::kLanes * ByTable::kVectors,
    2,
    1,
    copy_pixels,
    compute_tile<ByTable, FloatOutput>,
    compute_tile<ByTable, SumOutput>,
    compute_tile<ByTable, Int8Output>,
    compute_tile<ByTable, PackedOutput>,
    pack_float,
    pack_int8,
    unpack_float,
    unpack_bytes,
};

}  // namespace kbnn
