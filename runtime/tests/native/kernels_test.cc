// Compares every kernel set that the processor can run with a bit-by-bit computation on random
// data.
//
// It needs no interpreter, so it also runs under an emulator. Prints the kernel sets that it
// tested, and exits with 1 at the first difference.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "kernels/kernels.h"

namespace {

using kbnn::Kernels;
using kbnn::Tile;

uint64_t random_state = 88172645463325252u;

uint32_t random_word() {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return static_cast<uint32_t>(random_state >> 16);
}

int random_below(int limit) {
  return static_cast<int>(random_word() % static_cast<uint32_t>(limit));
}

float random_float() { return static_cast<float>(random_below(20001) - 10000) / 1000.0f; }

const char* kernels_name;

void expect(bool equal, const char* what, size_t where) {
  if (equal) return;
  printf("%s: expected the same %s. Received a difference at %zu.\n", kernels_name, what, where);
  exit(1);
}

// Patches and filters as plain words, and in the form that the kernel set reads.
struct Problem {
  size_t words, positions;
  int channels, lanes;
  bool corrected;
  std::vector<uint32_t> input, filter;  // positions x words, channels x words
  std::vector<uint32_t> patches, weights;
  std::vector<size_t> patch_offsets, correction_offsets;
  std::vector<int32_t> corrections, thresholds;
  std::vector<float> multiplier, bias;

  // Twice the differing bits, plus the correction.
  int32_t doubled_sum(size_t position, int channel) const {
    int32_t bits = 0;
    for (size_t i = 0; i < words; ++i) {
      uint32_t word =
          input[position * words + i] ^ filter[static_cast<size_t>(channel) * words + i];
      for (; word != 0; word &= word - 1) ++bits;
    }
    return 2 * bits +
           (corrected ? corrections[correction_offsets[position] + static_cast<size_t>(channel)]
                      : 0);
  }
};

Problem random_problem(const Kernels& kernels) {
  Problem p;
  const size_t sizes[] = {1, 2, 3, 9, 18, 31, 32, 33, 63, 64, 126, 127, 300};
  p.words = sizes[random_below(13)];
  p.positions = static_cast<size_t>(1 + random_below(40));
  p.lanes = kernels.channels_per_tile;
  p.channels = random_below(2) ? p.lanes : 1 + random_below(p.lanes);
  p.corrected = random_below(2) == 1;
  const size_t lanes = static_cast<size_t>(p.lanes);
  // At times all bits differ, for the largest counts.
  const int kind = random_below(4);
  for (size_t i = 0; i < p.positions * p.words; ++i)
    p.input.push_back(kind == 0 ? 0 : random_word());
  for (size_t i = 0; i < lanes * p.words; ++i) p.filter.push_back(kind == 0 ? ~0u : random_word());
  const size_t copies = static_cast<size_t>(kernels.word_copies);
  const size_t filter_words = p.words * static_cast<size_t>(kernels.word_parts);
  const size_t patch_words = filter_words * copies;
  p.patches.resize(p.positions * patch_words);
  kernels.copy_pixels(p.input.data(), p.words, p.positions, p.words, p.patches.data(), patch_words);
  std::vector<uint32_t> patch(patch_words);
  p.weights.resize(lanes * filter_words);
  for (size_t lane = 0; lane < lanes; ++lane) {
    kernels.copy_pixels(p.filter.data() + lane * p.words, p.words, 1, p.words, patch.data(), 0);
    for (size_t i = 0; i < filter_words; ++i) p.weights[i * lanes + lane] = patch[i * copies];
  }
  for (size_t i = 0; i < p.positions; ++i) {
    p.patch_offsets.push_back(i * patch_words);
    p.correction_offsets.push_back(static_cast<size_t>(random_below(3)) * lanes);
  }
  for (size_t i = 0; i < 3 * lanes; ++i) p.corrections.push_back(random_below(33) - 16);
  for (size_t lane = 0; lane < lanes; ++lane) {
    const bool exists = static_cast<int>(lane) < p.channels;
    p.thresholds.push_back(exists ? random_below(static_cast<int>(64 * p.words) + 4) - 2
                                  : INT32_MAX);
    p.multiplier.push_back(random_float());
    p.bias.push_back(random_float());
  }
  return p;
}

Tile make_tile(const Kernels& kernels, const Problem& p, void* output, size_t output_step) {
  Tile tile = {};
  tile.patches = p.patches.data();
  tile.patch_offsets = p.patch_offsets.data();
  tile.positions = p.positions;
  tile.corrections = p.corrections.data();
  tile.correction_offsets = p.corrected ? p.correction_offsets.data() : nullptr;
  tile.weights = p.weights.data();
  tile.words = p.words * static_cast<size_t>(kernels.word_parts);
  tile.channels = p.channels;
  tile.multiplier = p.multiplier.data();
  tile.bias = p.bias.data();
  tile.clamp_min = random_below(2) ? -(1 << 30) : 10;
  tile.clamp_max = random_below(2) ? 1 << 30 : 50;
  tile.thresholds = p.thresholds.data();
  tile.output = output;
  tile.output_step = output_step;
  return tile;
}

float transform(const Tile& tile, int32_t x, int channel) {
  if (x > tile.clamp_max) x = tile.clamp_max;
  if (x < tile.clamp_min) x = tile.clamp_min;
  // volatile makes the compiler round the product before the sum.
  volatile float product = static_cast<float>(x) * tile.multiplier[channel];
  return product + tile.bias[channel];
}

void test_tiles(const Kernels& kernels) {
  const Problem p = random_problem(kernels);
  const size_t channels = static_cast<size_t>(p.channels);
  const size_t step = channels + static_cast<size_t>(random_below(3));
  // Memory that a tile must not write keeps this value.
  std::vector<float> floats(p.positions * step, 12345.0f);
  const Tile float_tile = make_tile(kernels, p, floats.data(), step);
  kernels.tile_float(float_tile);
  std::vector<int8_t> bytes(p.positions * step, 77);
  Tile byte_tile = float_tile;
  byte_tile.output = bytes.data();
  kernels.tile_int8(byte_tile);
  for (size_t i = 0; i < p.positions * step; ++i) {
    if (i % step >= channels) {
      expect(floats[i] == 12345.0f && bytes[i] == 77, "memory beyond the channels", i);
      continue;
    }
    const int channel = static_cast<int>(i % step);
    const float value = transform(float_tile, p.doubled_sum(i / step, channel), channel);
    expect(floats[i] == value, "float output", i);
    const float rounded = roundf(fminf(fmaxf(value, -128.0f), 127.0f));
    expect(bytes[i] == static_cast<int8_t>(rounded), "int8 output", i);
  }
}

// The words that receive a tile's bits, at a random place within each position.
struct BitPlace {
  static constexpr size_t kStep = 4;
  int first;
  std::vector<uint32_t> words;

  BitPlace(const Problem& p, Tile* tile) : words(p.positions * kStep, 0) {
    const bool merged = random_below(2) == 1;
    const int tiles_of_word = 32 / p.lanes;
    // A merged tile starts anywhere, another one at a multiple of its bits.
    first = merged ? random_below(64) : random_below(tiles_of_word) * p.lanes;
    tile->first_bit = static_cast<size_t>(first);
    const bool last = random_below(2) == 1;
    tile->packed_bytes = static_cast<size_t>(merged ? 0 : last ? 4 - first % 32 / 8 : p.lanes / 8);
    if (merged) return;
    // The tile overwrites the bytes that it owns.
    for (size_t i = 0; i < p.positions; ++i) {
      memset(reinterpret_cast<uint8_t*>(&words[i * kStep]) + first / 8, 0xff, tile->packed_bytes);
    }
  }

  // `is_set(position, channel)` tells the expected bits. All other bits must be 0.
  template <class IsSet>
  void check(const Problem& p, const char* what, IsSet is_set) const {
    for (size_t position = 0; position < p.positions; ++position) {
      for (int bit = 0; bit < 32 * static_cast<int>(kStep); ++bit) {
        const int channel = bit - first;
        const bool set = channel >= 0 && channel < p.channels && is_set(position, channel);
        const uint32_t word = words[position * kStep + static_cast<size_t>(bit / 32)];
        expect((word >> bit % 32 & 1) == uint32_t{set}, what, position);
      }
    }
  }
};

void test_packed_tiles(const Kernels& kernels) {
  const Problem p = random_problem(kernels);
  Tile tile = make_tile(kernels, p, nullptr, BitPlace::kStep);
  BitPlace place(p, &tile);
  tile.output = place.words.data();
  kernels.tile_packed(tile);
  place.check(p, "packed output", [&](size_t position, int channel) {
    return p.doubled_sum(position, channel) > p.thresholds[static_cast<size_t>(channel)];
  });
}

void test_sum_tiles(const Kernels& kernels) {
  Problem p = random_problem(kernels);
  const size_t channels = static_cast<size_t>(p.channels);
  for (size_t lane = channels; lane < static_cast<size_t>(p.lanes); ++lane) {
    p.multiplier[lane] = p.bias[lane] = 0.0f;
  }
  // Products of minus zero.
  if (random_below(4) == 0) p.multiplier[0] = p.bias[0] = -0.0f;
  const size_t step = channels + static_cast<size_t>(random_below(3));
  std::vector<float> floats(p.positions * step, 12345.0f);
  Tile tile = make_tile(kernels, p, floats.data(), step);
  // Sized exactly, so that a sanitizer notices a read beyond the last channel. Some sums are 0.
  std::vector<float> residual((p.positions - 1) * step + channels), expected(residual.size());
  for (size_t i = 0; i < residual.size(); ++i) {
    residual[i] = random_float();
    if (i % step >= channels) continue;
    const int channel = static_cast<int>(i % step);
    const float value = transform(tile, p.doubled_sum(i / step, channel), channel);
    const float special[] = {-value,   NAN,       -NAN,
                             INFINITY, -INFINITY, value == 0.0f ? value : -value};
    if (random_below(4) == 0) residual[i] = special[random_below(6)];
    expected[i] = value + residual[i];
  }
  tile.residual = residual.data();
  BitPlace place(p, &tile);
  const bool with_signs = random_below(2) == 1;
  if (with_signs) {
    tile.signs = place.words.data();
    tile.signs_step = BitPlace::kStep;
  }
  kernels.tile_sum(tile);
  for (size_t i = 0; i < floats.size(); ++i) {
    const bool inside = i % step < channels;
    const float wanted = inside ? expected[i] : 12345.0f;
    expect(isnan(wanted) ? isnan(floats[i]) : floats[i] == wanted, "sums", i);
  }
  if (!with_signs) return;
  place.check(p, "signs of sums", [&](size_t position, int channel) {
    return expected[position * step + static_cast<size_t>(channel)] < 0.0f;
  });
}

void test_packing(const Kernels& kernels) {
  const size_t rows = static_cast<size_t>(1 + random_below(5));
  const size_t channels =
      static_cast<size_t>(random_below(2) ? 32 * (1 + random_below(5)) : 1 + random_below(100));
  const size_t words = (channels + 31) / 32;
  const uint32_t special[] = {0,           0x80000000u, 1,           0x80000001u,
                              0x7fc00000u, 0xffc00000u, 0x7f800000u, 0xff800000u};
  std::vector<float> floats(rows * channels);
  std::vector<int8_t> bytes(rows * channels);
  for (size_t i = 0; i < floats.size(); ++i) {
    const uint32_t bits = random_below(2) ? special[random_below(8)] : random_word();
    memcpy(&floats[i], &bits, sizeof(bits));
    bytes[i] = static_cast<int8_t>(random_below(256) - 128);
  }
  const int8_t zero_point = static_cast<int8_t>(random_below(255) - 127);
  std::vector<uint32_t> of_floats(rows * words, ~0u), of_bytes(rows * words, ~0u);
  kernels.pack_float(floats.data(), rows, channels, of_floats.data());
  kernels.pack_int8(bytes.data(), rows, channels, zero_point, of_bytes.data());
  std::vector<float> back(rows * channels);
  std::vector<uint8_t> bytes_back(rows * channels);
  kernels.unpack_float(of_floats.data(), rows, channels, back.data());
  kernels.unpack_bytes(of_bytes.data(), rows, channels, 7, 200, bytes_back.data());
  for (size_t row = 0; row < rows; ++row) {
    for (size_t bit = 0; bit < 32 * words; ++bit) {
      const size_t word = row * words + bit / 32;
      const bool float_bit = of_floats[word] >> bit % 32 & 1;
      const bool byte_bit = of_bytes[word] >> bit % 32 & 1;
      if (bit >= channels) {
        expect(!float_bit && !byte_bit, "unused bits", word);
        continue;
      }
      const size_t i = row * channels + bit;
      uint32_t bits;
      memcpy(&bits, &floats[i], sizeof(bits));
      expect(float_bit == (bits > 0x80000000u && bits <= 0xff800000u), "bits of floats", i);
      expect(byte_bit == (bytes[i] < zero_point), "bits of int8", i);
      expect(back[i] == (float_bit ? -1.0f : 1.0f), "floats of bits", i);
      expect(bytes_back[i] == (byte_bit ? 200 : 7), "bytes of bits", i);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? atoi(argv[1]) : 2000;
  const kbnn::Processor processor = kbnn::detect_processor();
  for (const char* name : {"portable", "avx2", "avx512", "avx512_vpopcntdq", "neon"}) {
    const Kernels* kernels = kbnn::choose_kernels(name, processor);
    if (kernels == nullptr) continue;
    kernels_name = name;
    for (int i = 0; i < rounds; ++i) {
      test_tiles(*kernels);
      test_packed_tiles(*kernels);
      test_sum_tiles(*kernels);
      test_packing(*kernels);
    }
    printf("%s: %d rounds, no difference\n", name, rounds);
  }
  return 0;
}
