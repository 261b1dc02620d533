#include "bconv2d/packed_filter.h"

namespace kbnn {

bool PackedFilter::pack(const Kernels& kernels, const FilterShape& shape, const uint32_t* filter) {
  shape_ = shape;
  lanes_ = kernels.channels_per_tile;
  tiles_per_group_ = divide_up(shape.channels_per_group(), lanes_);
  words_ = static_cast<size_t>(shape.patch_words() * kernels.word_parts);
  const size_t copies = static_cast<size_t>(kernels.word_copies);
  size_t size;
  size_t patch_size;
  Buffer<uint32_t> patch;
  if (!multiply_all(&size, shape.groups, tiles_per_group_, lanes_, words_) ||
      !multiply(words_, copies, &patch_size) || !weights_.allocate(size) ||
      !patch.allocate(patch_size)) {
    return false;
  }
  const size_t height = static_cast<size_t>(shape.height);
  const size_t width = static_cast<size_t>(shape.width);
  const size_t words = static_cast<size_t>(shape.words);
  const size_t pixel_words = words * static_cast<size_t>(kernels.word_parts) * copies;
  for (size_t slot = 0; slot < slots(); ++slot) {
    if (channel(slot) < 0) continue;
    // Column by column, in the order of PatchLayout and by the same function.
    const uint32_t* from = filter + static_cast<size_t>(channel(slot)) * height * width * words;
    for (size_t y = 0; y < height; ++y) {
      kernels.copy_pixels(from + y * width * words, words, width, words,
                          patch.data() + y * pixel_words, height * pixel_words);
    }
    const size_t lanes = static_cast<size_t>(lanes_);
    uint32_t* to = weights_.data() + slot / lanes * lanes * words_ + slot % lanes;
    for (size_t word = 0; word < words_; ++word) to[word * lanes] = patch[word * copies];
  }
  return true;
}

int64_t PackedFilter::channel(size_t slot) const {
  const int64_t tile = static_cast<int64_t>(slot) / lanes_;
  const int64_t lane = static_cast<int64_t>(slot) % lanes_;
  return lane < tile_channels(tile) ? first_channel(tile) + lane : -1;
}

int64_t PackedFilter::first_channel(int64_t tile) const {
  return tile / tiles_per_group_ * shape_.channels_per_group() + tile % tiles_per_group_ * lanes_;
}

int PackedFilter::tile_channels(int64_t tile) const {
  const int64_t left = shape_.channels_per_group() - tile % tiles_per_group_ * lanes_;
  return static_cast<int>(left < lanes_ ? left : lanes_);
}

}  // namespace kbnn
