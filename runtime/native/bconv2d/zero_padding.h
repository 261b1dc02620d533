// The zero-padding correction: what turns a binary convolution padded with ones into one padded
// with zeros.
//
// A packed bit is +1 or -1, so padding bits of 0 count as +1. Where the window overlaps the edge, a
// tap with c channels, d of them -1, adds d differing bits. Zeros should add nothing to the sum,
// which is the value c for twice the differing bits instead of 2 d. Hence
//   correction = sum over the taps outside the image of (c - 2 d),
// added to twice the differing bits so that it is an integer for odd c too.
#ifndef KBNN_BCONV2D_ZERO_PADDING_H_
#define KBNN_BCONV2D_ZERO_PADDING_H_

#include "bconv2d/packed_filter.h"
#include "window.h"

namespace kbnn {

// Positions with the same taps outside share their corrections, so there are few distinct cases.
class ZeroPaddingCorrection {
 public:
  // `group_channels` is the number of input channels in a group. False if memory is exhausted.
  bool compute(const Window& rows, const Window& columns, const FilterShape& shape,
               int64_t group_channels, const PackedFilter& packed, const uint32_t* filter,
               int lanes);

  // A tile's corrections. For an output position, they start at row_offset(y) + column_offset(x).
  const int32_t* tile(int64_t tile) const {
    return values_.data() + static_cast<size_t>(tile) * rows_.count() * columns_.count() * lanes_;
  }
  size_t row_offset(int64_t y) const { return rows_.find(y) * columns_.count() * lanes_; }
  size_t column_offset(int64_t x) const { return columns_.find(x) * lanes_; }

 private:
  // The distinct cases along one axis. From one position to the next, fewer taps lie before the
  // input and more behind it, so a non-decreasing number identifies the case:
  //   taps - taps before + taps behind
  class Cases {
   public:
    bool list(const Window& window);
    size_t count() const { return outside_.size() / 2; }
    size_t find(int64_t position) const { return ids_[number(position)]; }
    size_t before(size_t i) const { return static_cast<size_t>(outside_[2 * i]); }
    size_t behind(size_t i) const { return static_cast<size_t>(outside_[2 * i + 1]); }

   private:
    size_t number(int64_t position) const {
      return static_cast<size_t>(window_.taps - window_.taps_before(position) +
                                 window_.taps_behind(position));
    }

    Window window_ = {};
    Buffer<uint32_t> ids_;     // case of each number that occurs
    Buffer<int64_t> outside_;  // of each case: taps before, taps behind
  };

  size_t lanes_ = 1;
  Cases rows_;
  Cases columns_;
  Buffer<int32_t> values_;  // tiles x cases of rows x cases of columns x lanes
};

}  // namespace kbnn

#endif  // KBNN_BCONV2D_ZERO_PADDING_H_
