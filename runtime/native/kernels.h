// The inner loops, as a table of functions for each set of instructions.
//
// Every kernel set gives the same results to the last bit: sums are integers, and the output's
// multiplication and addition round twice everywhere.
#ifndef KBNN_KERNELS_H_
#define KBNN_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "processor.h"

namespace kbnn {

// One tile of output channels of a binary convolution at many output positions.
//
// With p the number of differing bits of a position's patch and a channel's filter, the output is
//   x = clamp(2 p + correction)          a correction is what zero padding adds
//   float     x * multiplier + bias
//   sum       that + residual, and where signs are wanted, bit = sum < 0 (minus zero is not)
//   int8      x * multiplier + bias, clamped to -128 .. 127 and rounded, halves away from zero
//   packed    bit = 2 p + correction > threshold
struct Tile {
  const uint32_t* lines;  // where patches start, at offsets ...
  const size_t* offsets;  // ... in words, one for each position
  size_t positions;
  const int32_t* corrections;        // the tile's, at offsets ...
  const size_t* correction_offsets;  // ... one for each position; null: all are zero
  const uint32_t* weights;           // words x channels_per_tile
  size_t words;                      // of a patch, each of its copies in the lines counted once
  int channels;                      // that exist; arrays are as long as the tile nevertheless
  const float* multiplier;           // 0 for channels that do not exist
  const float* bias;                 // likewise
  int32_t clamp_min;
  int32_t clamp_max;
  const int32_t* thresholds;  // INT32_MAX for channels that do not exist
  void* output;               // float* or int8_t*, of the first position and channel
  size_t output_step;         // elements between positions; for packed outputs, words
  const float* residual;  // sums: of the first position and channel, output_step between positions
  uint32_t* signs;        // sums: the first position's first word; null: they are not wanted
  size_t signs_step;      // words between positions
  // Packed outputs and signs: the tile's first bit after the position's first word; and the bytes
  // to write there: those of the tile, the last one's up to the end of the word. 0: the tile starts
  // within a byte, and its bits are added to words that were zero at first.
  size_t first_bit;
  size_t packed_bytes;
};

struct Kernels {
  const char* name;
  // Output channels that a tile holds: 8, 16 or 32.
  int channels_per_tile;
  // Words of a patch for each word of the input: 2 where words are stored as their lower and their
  // upper halves of bytes, which spares the popcount by table a shift and two masks.
  int word_parts;
  // How often lines hold each of those words, side by side: as often as a vector has lanes where
  // loading the vector spares the units that count a broadcast.
  int word_copies;

  // For each of `columns` pixels, `source_step` words apart: copies `words` words to `target`,
  // columns `target_step` words apart, in the form that tiles read.
  void (*copy_line)(const uint32_t* source, size_t source_step, size_t columns, size_t words,
                    uint32_t* target, size_t target_step);

  void (*tile_float)(const Tile&);
  void (*tile_sum)(const Tile&);
  void (*tile_int8)(const Tile&);
  void (*tile_packed)(const Tile&);

  // bit = value < 0, for each of `rows` rows of `channels` values; rows start at a word, what is
  // left of their last word is 0. Minus zero and NaN are not below zero.
  void (*pack_float)(const float* values, size_t rows, size_t channels, uint32_t* words);
  // bit = value < zero_point, -128 < zero_point <= 127.
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

// The fastest set that the processor can run; with a name, that set, or null where there is no such
// set or the processor cannot run it.
const Kernels* choose_kernels(const char* name, const Processor& processor);

}  // namespace kbnn

#endif  // KBNN_KERNELS_H_
