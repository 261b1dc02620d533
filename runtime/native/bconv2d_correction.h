// What zero padding adds to a binary convolution that pads with ones.
//
// A packed bit is +1 or -1: where a window hangs over the edge, the padding's bits count as +1. A
// tap of a filter with c channels, d of them -1, has then added d differing bits, where zeros would
// leave the sum c - 2 d unchanged at 0: twice the differing bits have to be c instead of 2 d. So
//   correction = sum over the taps outside of (c - 2 d),
// in units of half a differing bit, which is whole for an odd number of channels as well.
#ifndef KBNN_BCONV2D_CORRECTION_H_
#define KBNN_BCONV2D_CORRECTION_H_

#include "bconv2d_filter.h"
#include "window.h"

namespace kbnn {

// Positions with the same taps outside share their corrections; there are few such cases.
class PaddingCorrection {
 public:
  // `group_channels`: input channels of a group. False where there is no memory.
  bool compute(const Window& rows, const Window& columns, const FilterShape& shape,
               int64_t group_channels, const PackedFilter& packed, const uint32_t* filter,
               int lanes);

  // A tile's corrections, and where in them those of an output position are: the sum of both.
  const int32_t* tile(int64_t tile) const {
    return values_.data() + static_cast<size_t>(tile) * rows_.count() * columns_.count() * lanes_;
  }
  size_t row_offset(int64_t y) const { return rows_.find(y) * columns_.count() * lanes_; }
  size_t column_offset(int64_t x) const { return columns_.find(x) * lanes_; }

 private:
  // Along one axis the taps in front of the input become fewer from position to position and those
  // behind it more, so that a case is known by one number, which never falls:
  //   taps - taps in front + taps behind
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
    Buffer<uint32_t> ids_;     // of each number that occurs
    Buffer<int64_t> outside_;  // of each case: taps in front, taps behind
  };

  size_t lanes_ = 1;
  Cases rows_;
  Cases columns_;
  Buffer<int32_t> values_;  // tiles x cases of rows x cases of columns x lanes
};

}  // namespace kbnn

#endif  // KBNN_BCONV2D_CORRECTION_H_
