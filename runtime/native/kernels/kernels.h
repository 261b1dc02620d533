// The inner loops: one table of functions, a kernel set, for each instruction set.
//
// All kernel sets give bit-identical results: sums are integers, and the output transform rounds
// after its multiplication and again after its addition.
//
// README.md shows how to add a kernel set.
#ifndef KBNN_KERNELS_KERNELS_H_
#define KBNN_KERNELS_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "kernels/processor.h"

namespace kbnn {

// One tile of output channels of a binary convolution at many output positions.
//
// With p the number of bits in which a position's patch and a channel's filter differ:
//   x = clamp(2 p + correction)          the correction accounts for zero padding
//   float     x * multiplier + bias
//   sum       float + residual, and optionally its sign: bit = sum < 0 (false for minus zero)
//   int8      x * multiplier + bias, clamped to -128 .. 127 and rounded, halves away from zero
//   packed    bit = 2 p + correction > threshold
// "First" below means the first position and the tile's first channel.
struct Tile {
  const uint32_t* patches;      // patches start at these offsets, ...
  const size_t* patch_offsets;  // ... in words, one for each position
  size_t positions;
  const int32_t* corrections;        // the tile's corrections start at these offsets, ...
  const size_t* correction_offsets;  // ... one for each position; null: all corrections are zero
  const uint32_t* weights;           // words x channels_per_tile
  size_t words;                      // of a patch, without the copies that word_copies makes
  int channels;                      // used lanes; per-channel arrays are as long as the tile
  const float* multiplier;           // 0 for unused lanes
  const float* bias;                 // 0 for unused lanes
  int32_t clamp_min;
  int32_t clamp_max;
  const int32_t* thresholds;  // INT32_MAX for unused lanes
  void* output;               // first float or int8; for packed outputs, the position's first word
  size_t output_step;         // elements between positions; for packed outputs, words
  const float* residual;      // sums only: first value; positions are output_step apart
  uint32_t* signs;            // sums only: the position's first word; null: no signs are written
  size_t signs_step;          // words between positions
  // Packed outputs and signs: the tile's first bit, counted from the position's first word, and how
  // many bytes to write there. The last tile writes up to the end of its word. If packed_bytes is
  // 0, the tile may start within a byte, and its bits are OR-ed into words that were cleared
  // before.
  size_t first_bit;
  size_t packed_bytes;
};

struct Kernels {
  const char* name;
  // Output channels in a tile: 8, 16 or 32.
  int channels_per_tile;
  // Stored words for each word of the input. A popcount by table stores 2, the lower and the upper
  // half of each byte: that saves a shift and two masks in the inner loop.
  int word_parts;
  // How many times patches repeat each stored word. One copy for each lane of a vector turns a
  // broadcast into a plain load, which pays where broadcasts occupy the units that count bits.
  int word_copies;

  // Copies `columns` pixels of `words` words each into the form that tiles read. Pixels are
  // `source_step` words apart in the source and `target_step` words apart in the target.
  void (*copy_pixels)(const uint32_t* source, size_t source_step, size_t columns, size_t words,
                      uint32_t* target, size_t target_step);

  void (*tile_float)(const Tile&);
  void (*tile_sum)(const Tile&);
  void (*tile_int8)(const Tile&);
  void (*tile_packed)(const Tile&);

  // bit = value < 0, for `rows` rows of `channels` values. Each row starts at a new word; unused
  // bits of its last word are 0. Minus zero and NaN are not below zero.
  void (*pack_float)(const float* values, size_t rows, size_t channels, uint32_t* words);
  // bit = value < zero_point, where -128 < zero_point <= 127.
  void (*pack_int8)(const int8_t* values, size_t rows, size_t channels, int8_t zero_point,
                    uint32_t* words);
  // value = bit ? -1 : +1
  void (*unpack_float)(const uint32_t* words, size_t rows, size_t channels, float* values);
  // value = bit ? one : zero
  void (*unpack_bytes)(const uint32_t* words, size_t rows, size_t channels, uint8_t zero,
                       uint8_t one, uint8_t* values);
};

extern const Kernels kPortableKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx512VpopcntdqKernels;
#elif defined(__aarch64__) || defined(__arm__)
extern const Kernels kNeonKernels;
#endif

// The fastest set that the processor can run if `name` is "auto", else the set of that name. Null
// if there is no such set or the processor cannot run it.
const Kernels* choose_kernels(const char* name, const Processor& processor);

}  // namespace kbnn

#endif  // KBNN_KERNELS_KERNELS_H_
