#include "bconv2d_correction.h"

namespace kbnn {
namespace {

// Numbers the cases along one axis. Which taps are outside changes at the edges alone, so a position
// mostly has the case of the one before it; a case never comes back after another.
bool find_cases(const Window& window, Buffer<uint32_t>* cases, Buffer<int64_t>* outside) {
  const size_t positions = static_cast<size_t>(window.output);
  if (!cases->allocate(positions)) return false;
  uint32_t last = 0;
  for (size_t i = 1; i < positions; ++i) {
    const int64_t position = static_cast<int64_t>(i);
    const bool same = window.taps_before(position) == window.taps_before(position - 1) &&
                      window.taps_behind(position) == window.taps_behind(position - 1);
    last += same ? 0 : 1;
    (*cases)[i] = last;
  }
  if (!outside->allocate(2 * (size_t{last} + 1))) return false;
  for (size_t i = 0; i < positions; ++i) {
    (*outside)[2 * (*cases)[i]] = window.taps_before(static_cast<int64_t>(i));
    (*outside)[2 * (*cases)[i] + 1] = window.taps_behind(static_cast<int64_t>(i));
  }
  return true;
}

int set_bits(uint32_t word) {
  word -= word >> 1 & 0x55555555u;
  word = (word & 0x33333333u) + (word >> 2 & 0x33333333u);
  return static_cast<int>(((word + (word >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24);
}

}  // namespace

bool PaddingCorrection::compute(const Window& rows, const Window& columns,
                                const FilterShape& shape, int64_t group_channels,
                                const PackedFilter& packed, const uint32_t* filter, int lanes) {
  lanes_ = static_cast<size_t>(lanes);
  size_t size;
  const size_t height = static_cast<size_t>(shape.height);
  const size_t width = static_cast<size_t>(shape.width);
  Buffer<int32_t> sums;  // (height + 1) x (width + 1): of the taps above and to the left
  if (!find_cases(rows, &row_cases_, &row_outside_) ||
      !find_cases(columns, &column_cases_, &column_outside_) ||
      !multiply_all(&size, packed.slots(), cases()) || !values_.allocate(size) ||
      !multiply_all(&size, height + 1, width + 1) || !sums.allocate(size)) {
    return false;
  }
  const size_t row_cases = row_outside_.size() / 2;
  const size_t column_cases = column_outside_.size() / 2;
  for (size_t slot = 0; slot < packed.slots(); ++slot) {
    if (packed.channel(slot) < 0) continue;
    const uint32_t* word = filter + static_cast<size_t>(packed.channel(slot) * shape.patch_words());
    for (size_t y = 0; y < height; ++y) {
      int32_t row = 0;
      for (size_t x = 0; x < width; ++x) {
        int32_t tap = static_cast<int32_t>(group_channels);
        for (int64_t i = 0; i < shape.words; ++i) tap -= 2 * set_bits(*word++);
        row += tap;
        sums[(y + 1) * (width + 1) + x + 1] = sums[y * (width + 1) + x + 1] + row;
      }
    }
    int32_t* to = values_.data() + slot / lanes_ * cases() * lanes_ + slot % lanes_;
    for (size_t row_case = 0; row_case < row_cases; ++row_case) {
      const size_t top = static_cast<size_t>(row_outside_[2 * row_case]);
      const size_t bottom = height - static_cast<size_t>(row_outside_[2 * row_case + 1]);
      for (size_t column_case = 0; column_case < column_cases; ++column_case, to += lanes_) {
        const size_t left = static_cast<size_t>(column_outside_[2 * column_case]);
        const size_t right = width - static_cast<size_t>(column_outside_[2 * column_case + 1]);
        const int32_t all = sums[height * (width + 1) + width];
        // Nothing is inside where the window hangs over both edges at once with a hole between taps.
        const bool nothing = top >= bottom || left >= right;
        const int32_t inside =
            nothing ? 0
                    : sums[bottom * (width + 1) + right] - sums[bottom * (width + 1) + left] -
                          sums[top * (width + 1) + right] + sums[top * (width + 1) + left];
        *to = all - inside;
      }
    }
  }
  return true;
}

}  // namespace kbnn
