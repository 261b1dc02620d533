// The filters of a binary convolution, in the order in which tiles read them.
#ifndef KBNN_BCONV2D_PACKED_FILTER_H_
#define KBNN_BCONV2D_PACKED_FILTER_H_

#include "buffer.h"
#include "kernels/kernels.h"

namespace kbnn {

// Sizes of the filters: OHWI, where I is the packed input channels of one group.
struct FilterShape {
  int64_t channels;  // of the output
  int64_t height;
  int64_t width;
  int64_t words;  // of an input pixel's channels in one group
  int64_t groups;

  int64_t channels_per_group() const { return channels / groups; }
  int64_t patch_words() const { return height * width * words; }
  size_t filter_words() const { return static_cast<size_t>(channels * patch_words()); }
};

// Output channels are stored in tiles of kernels.channels_per_tile lanes. Every group starts a new
// tile, so a group's last tile may have unused lanes. A channel's place in this order is its slot;
// other per-channel arrays are stored by slot too.
class PackedFilter {
 public:
  // False if memory is exhausted.
  bool pack(const Kernels& kernels, const FilterShape& shape, const uint32_t* filter);

  int64_t tiles_per_group() const { return tiles_per_group_; }
  int64_t tiles() const { return tiles_per_group_ * shape_.groups; }
  size_t slots() const { return static_cast<size_t>(tiles() * lanes_); }

  // The channel in that slot, or -1 if the slot is unused.
  int64_t channel(size_t slot) const;

  // First channel of a tile, and how many of its lanes are used.
  int64_t first_channel(int64_t tile) const;
  int tile_channels(int64_t tile) const;

  // Stored words of one filter, and a tile's weights: words x lanes.
  size_t words() const { return words_; }
  const uint32_t* weights(int64_t tile) const {
    return weights_.data() + static_cast<size_t>(tile * lanes_) * words_;
  }

 private:
  FilterShape shape_ = {};
  int64_t lanes_ = 1;
  int64_t tiles_per_group_ = 0;
  size_t words_ = 0;
  Buffer<uint32_t> weights_;
};

}  // namespace kbnn

#endif  // KBNN_BCONV2D_PACKED_FILTER_H_
