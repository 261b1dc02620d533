// The binary matrix multiplication that all kernel sets share. It counts several positions times
// several vectors of output channels in registers, transforms the counts there, and writes them.
//
// `Isa` wraps an instruction set. A lane is an output channel. The weights of a tile's channels are
// interleaved word by word, so each input word is broadcast to all lanes and nothing is summed
// across lanes. If kWordCopies is the number of lanes, patches already hold that vector. Differing
// bits are accumulated in a `Count`, which has room for kMaxSteps steps before it must be widened
// to 32-bit integers.
//
// Everything here has internal linkage: each kernel set is compiled for a different processor, and
// the linker must never merge their copies of a function. For the same reason no function of the
// standard library is called.
#ifndef KBNN_KERNELS_MICRO_KERNEL_H_
#define KBNN_KERNELS_MICRO_KERNEL_H_

#include "kernels/kernels.h"

#define KBNN_INLINE inline __attribute__((always_inline))
#define KBNN_UNROLL _Pragma("GCC unroll 16")

namespace kbnn {
namespace {

struct FloatOutput {
  template <class Isa>
  static KBNN_INLINE void write(const Tile& tile, size_t position,
                                const typename Isa::Ints (&sums)[Isa::kVectors]) {
    float* output = static_cast<float*>(tile.output) + position * tile.output_step;
    KBNN_UNROLL
    for (int v = 0; v < Isa::kVectors; ++v) {
      const int first = v * Isa::kLanes;
      if (first >= tile.channels) return;
      Isa::store_floats(output + first, transform<Isa>(tile, sums[v], first),
                        tile.channels - first);
    }
  }

  template <class Isa>
  static KBNN_INLINE typename Isa::Floats transform(const Tile& tile, typename Isa::Ints x,
                                                    int first) {
    x = Isa::max(Isa::min(x, Isa::set(tile.clamp_max)), Isa::set(tile.clamp_min));
    return Isa::add(Isa::multiply(Isa::to_floats(x), Isa::load(tile.multiplier + first)),
                    Isa::load(tile.bias + first));
  }
};

// Writes the tile's bits into a position's words.
KBNN_INLINE void write_bits(const Tile& tile, uint32_t* words, uint32_t bits) {
  // Bits of a byte are in the same order as bits of a word: every target is little-endian.
  uint8_t* bytes = reinterpret_cast<uint8_t*>(words) + tile.first_bit / 8;
  if (tile.packed_bytes == 4) {
    words[tile.first_bit / 32] = bits;
  } else if (tile.packed_bytes == 2) {
    __builtin_memcpy(bytes, &bits, 2);
  } else if (tile.packed_bytes > 0) {
    for (size_t i = 0; i < tile.packed_bytes; ++i) bytes[i] = static_cast<uint8_t>(bits >> 8 * i);
  } else {
    const uint64_t shifted = uint64_t{bits} << tile.first_bit % 32;
    words[tile.first_bit / 32] |= static_cast<uint32_t>(shifted);
    // With no bits left for it, the next word may lie beyond the position's last one.
    if (shifted >> 32 != 0) words[tile.first_bit / 32 + 1] |= static_cast<uint32_t>(shifted >> 32);
  }
}

struct SumOutput {
  template <class Isa>
  static KBNN_INLINE void write(const Tile& tile, size_t position,
                                const typename Isa::Ints (&sums)[Isa::kVectors]) {
    if (tile.channels == Isa::kVectors * Isa::kLanes) {
      write_vectors<Isa, true>(tile, position, sums);
    } else {
      write_vectors<Isa, false>(tile, position, sums);
    }
  }

  template <class Isa, bool kFull>
  static KBNN_INLINE void write_vectors(const Tile& tile, size_t position,
                                        const typename Isa::Ints (&sums)[Isa::kVectors]) {
    float* output = static_cast<float*>(tile.output) + position * tile.output_step;
    const float* residual = tile.residual + position * tile.output_step;
    // Unused lanes are 0, since their multiplier, bias and residual are.
    typename Isa::Floats x[Isa::kVectors];
    KBNN_UNROLL
    for (int v = 0; v < Isa::kVectors; ++v) {
      const int first = v * Isa::kLanes;
      const int count = kFull ? Isa::kLanes : tile.channels - first;
      x[v] = FloatOutput::transform<Isa>(tile, sums[v], first);
      if (count <= 0) continue;
      x[v] = Isa::add(x[v], Isa::load_floats(residual + first, count));
      Isa::store_floats(output + first, x[v], count);
    }
    if (tile.signs == nullptr) return;
    write_bits(tile, tile.signs + position * tile.signs_step, Isa::negative(x));
  }
};

struct Int8Output {
  template <class Isa>
  static KBNN_INLINE void write(const Tile& tile, size_t position,
                                const typename Isa::Ints (&sums)[Isa::kVectors]) {
    int8_t* output = static_cast<int8_t*>(tile.output) + position * tile.output_step;
    KBNN_UNROLL
    for (int v = 0; v < Isa::kVectors; ++v) {
      const int first = v * Isa::kLanes;
      if (first >= tile.channels) return;
      Isa::store_rounded(output + first, FloatOutput::transform<Isa>(tile, sums[v], first),
                         tile.channels - first);
    }
  }
};

struct PackedOutput {
  template <class Isa>
  static KBNN_INLINE void write(const Tile& tile, size_t position,
                                const typename Isa::Ints (&sums)[Isa::kVectors]) {
    uint32_t* words = static_cast<uint32_t*>(tile.output) + position * tile.output_step;
    uint32_t bits = 0;
    KBNN_UNROLL
    for (int v = 0; v < Isa::kVectors; ++v) {
      const int first = v * Isa::kLanes;
      bits |= Isa::greater(sums[v], Isa::load(tile.thresholds + first)) << first;
    }
    write_bits(tile, words, bits);
  }
};

// Sets `counts` to the differing bits of `steps` words, 1 to kMaxSteps, of patches and weights.
template <class Isa, int kPositions>
KBNN_INLINE void count_words(const uint32_t* const (&patches)[kPositions], const uint32_t* weights,
                             size_t steps,
                             typename Isa::Count (&counts)[kPositions][Isa::kVectors]) {
  KBNN_UNROLL
  for (int p = 0; p < kPositions; ++p) {
    KBNN_UNROLL
    for (int v = 0; v < Isa::kVectors; ++v) counts[p][v] = Isa::no_count();
  }
  for (size_t k = 0; k < steps; ++k) {
    typename Isa::Words filter[Isa::kVectors];
    KBNN_UNROLL
    for (int v = 0; v < Isa::kVectors; ++v) {
      filter[v] = Isa::load(weights + v * Isa::kLanes);
    }
    weights += Isa::kVectors * Isa::kLanes;
    KBNN_UNROLL
    for (int p = 0; p < kPositions; ++p) {
      const typename Isa::Words input = Isa::broadcast(patches[p] + k * Isa::kWordCopies);
      KBNN_UNROLL
      for (int v = 0; v < Isa::kVectors; ++v) {
        counts[p][v] = Isa::count(counts[p][v], filter[v], input);
      }
    }
  }
}

template <class Isa, class Output, int kPositions>
KBNN_INLINE void compute_positions(const Tile& tile, size_t first) {
  constexpr int kVectors = Isa::kVectors;
  const uint32_t* patches[kPositions];
  typename Isa::Ints sums[kPositions][kVectors];
  KBNN_UNROLL
  for (int p = 0; p < kPositions; ++p) {
    patches[p] = tile.patches + tile.patch_offsets[first + p];
    KBNN_UNROLL
    for (int v = 0; v < kVectors; ++v) sums[p][v] = Isa::set(0);
  }
  const uint32_t* weights = tile.weights;
  for (size_t done = 0; done < tile.words;) {
    const size_t left = tile.words - done;
    const size_t steps = left < Isa::kMaxSteps ? left : Isa::kMaxSteps;
    typename Isa::Count counts[kPositions][kVectors];
    count_words<Isa, kPositions>(patches, weights, steps, counts);
    weights += steps * kVectors * Isa::kLanes;
    KBNN_UNROLL
    for (int p = 0; p < kPositions; ++p) {
      KBNN_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        sums[p][v] = Isa::widen(sums[p][v], counts[p][v]);
      }
      patches[p] += steps * Isa::kWordCopies;
    }
    done += steps;
  }
  KBNN_UNROLL
  for (int p = 0; p < kPositions; ++p) {
    KBNN_UNROLL
    for (int v = 0; v < kVectors; ++v) sums[p][v] = Isa::twice(sums[p][v]);
    if (tile.correction_offsets != nullptr) {
      const int32_t* correction = tile.corrections + tile.correction_offsets[first + p];
      KBNN_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        sums[p][v] = Isa::add(sums[p][v], Isa::load(correction + v * Isa::kLanes));
      }
    }
    Output::template write<Isa>(tile, first + p, sums[p]);
  }
}

// The last positions, fewer than a full step.
template <class Isa, class Output, int kPositions>
struct Remainder {
  static void compute(const Tile& tile, size_t first) {
    if (tile.positions - first == kPositions) {
      compute_positions<Isa, Output, kPositions>(tile, first);
    } else {
      Remainder<Isa, Output, kPositions - 1>::compute(tile, first);
    }
  }
};
template <class Isa, class Output>
struct Remainder<Isa, Output, 0> {
  static void compute(const Tile&, size_t) {}
};

template <class Isa, class Output>
void compute_tile(const Tile& tile) {
  size_t first = 0;
  for (; first + Isa::kPositions <= tile.positions; first += Isa::kPositions) {
    compute_positions<Isa, Output, Isa::kPositions>(tile, first);
  }
  Remainder<Isa, Output, Isa::kPositions - 1>::compute(tile, first);
}

// copy_pixels for kernel sets that read words unchanged.
template <size_t kWords>
KBNN_INLINE void copy_words(const uint32_t* source, size_t source_step, size_t columns,
                            size_t words, uint32_t* target, size_t target_step) {
  const size_t count = kWords == 0 ? words : kWords;
  for (size_t column = 0; column < columns; ++column) {
    for (size_t i = 0; i < count; ++i) target[i] = source[i];
    source += source_step;
    target += target_step;
  }
}

// copy_pixels for kernel sets that read the lower and the upper halves of bytes.
template <size_t kWords>
KBNN_INLINE void copy_halves(const uint32_t* source, size_t source_step, size_t columns,
                             size_t words, uint32_t* target, size_t target_step) {
  const size_t count = kWords == 0 ? words : kWords;
  for (size_t column = 0; column < columns; ++column) {
    for (size_t i = 0; i < count; ++i) {
      target[i] = source[i] & 0x0f0f0f0fu;
      target[count + i] = source[i] >> 4 & 0x0f0f0f0fu;
    }
    source += source_step;
    target += target_step;
  }
}

#define KBNN_COPY_PIXELS(copy)                                                               \
  void copy_pixels(const uint32_t* source, size_t source_step, size_t columns, size_t words, \
                   uint32_t* target, size_t target_step) {                                   \
    switch (words) {                                                                         \
      case 1:                                                                                \
        return copy<1>(source, source_step, columns, words, target, target_step);            \
      case 2:                                                                                \
        return copy<2>(source, source_step, columns, words, target, target_step);            \
      case 4:                                                                                \
        return copy<4>(source, source_step, columns, words, target, target_step);            \
      case 8:                                                                                \
        return copy<8>(source, source_step, columns, words, target, target_step);            \
      default:                                                                               \
        return copy<0>(source, source_step, columns, words, target, target_step);            \
    }                                                                                        \
  }

// Packs row by row: 32 channels at a time with `pack_step`, the rest of a row one by one. Rows
// without unused bits are treated as one long row.
template <class Value, class PackStep, class IsSet>
KBNN_INLINE void pack_rows(const Value* values, size_t rows, size_t channels, uint32_t* words,
                           PackStep pack_step, IsSet is_set) {
  if (channels % 32 == 0) {
    channels *= rows;
    rows = channels > 0 ? 1 : 0;
  }
  for (size_t row = 0; row < rows; ++row) {
    size_t channel = 0;
    for (; channel + 32 <= channels; channel += 32) *words++ = pack_step(values + channel);
    if (channel < channels) {
      uint32_t word = 0;
      for (int bit = 0; channel < channels; ++channel, ++bit) {
        word |= uint32_t{is_set(values[channel])} << bit;
      }
      *words++ = word;
    }
    values += channels;
  }
}

// The reverse of pack_rows.
template <class Value, class UnpackStep>
KBNN_INLINE void unpack_rows(const uint32_t* words, size_t rows, size_t channels, Value zero,
                             Value one, Value* values, UnpackStep unpack_step) {
  if (channels % 32 == 0) {
    channels *= rows;
    rows = channels > 0 ? 1 : 0;
  }
  for (size_t row = 0; row < rows; ++row) {
    size_t channel = 0;
    for (; channel + 32 <= channels; channel += 32) unpack_step(*words++, values + channel);
    if (channel < channels) {
      uint32_t word = *words++;
      for (; channel < channels; ++channel, word >>= 1) values[channel] = word & 1 ? one : zero;
    }
    values += channels;
  }
}

}  // namespace
}  // namespace kbnn

#endif  // KBNN_KERNELS_MICRO_KERNEL_H_
