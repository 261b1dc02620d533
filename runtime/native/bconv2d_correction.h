// What zero padding adds to a binary convolution that pads with ones.
//
// A packed bit is +1 or -1: where a window hangs over the edge, the padding's bits count as +1. A tap
// of a filter with c channels, d of them -1, has then added d differing bits, where zeros would leave
// the sum c - 2 d unchanged at 0: twice the differing bits have to be c instead of 2 d. So
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

  // A tile's corrections, and where in them those of an output position are.
  const int32_t* tile(int64_t tile) const {
    return values_.data() + static_cast<size_t>(tile) * cases() * lanes_;
  }
  size_t offset(int64_t y, int64_t x) const {
    const size_t row_case = row_cases_[static_cast<size_t>(y)];
    const size_t column_case = column_cases_[static_cast<size_t>(x)];
    return (row_case * column_outside_.size() / 2 + column_case) * lanes_;
  }

 private:
  size_t cases() const { return row_outside_.size() / 2 * (column_outside_.size() / 2); }

  size_t lanes_ = 1;
  Buffer<uint32_t> row_cases_;     // of each output row
  Buffer<uint32_t> column_cases_;
  Buffer<int64_t> row_outside_;    // of each case: taps before, taps behind
  Buffer<int64_t> column_outside_;
  Buffer<int32_t> values_;         // tiles x row cases x column cases x lanes
};

}  // namespace kbnn

#endif  // KBNN_BCONV2D_CORRECTION_H_
