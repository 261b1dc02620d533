#include "bconv2d/zero_padding.h"

namespace kbnn {
namespace {

int set_bits(uint32_t word) {
  word -= word >> 1 & 0x55555555u;
  word = (word & 0x33333333u) + (word >> 2 & 0x33333333u);
  return static_cast<int>(((word + (word >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24);
}

}  // namespace

bool ZeroPaddingCorrection::Cases::list(const Window& window) {
  window_ = window;
  const size_t numbers = 2 * static_cast<size_t>(window.taps) + 1;
  Buffer<int64_t> found;
  if (!ids_.allocate(numbers) || !found.allocate(2 * numbers)) return false;
  uint32_t count = 0;
  for (int64_t position = 0; position < window.output; ++count) {
    const size_t current = number(position);
    ids_[current] = count;
    found[2 * count] = window.taps_before(position);
    found[2 * count + 1] = window.taps_behind(position);
    // Bisects for the first position with a higher number, since an axis may be long.
    int64_t same = position;
    int64_t beyond = window.output;
    while (beyond - same > 1) {
      const int64_t middle = same + (beyond - same) / 2;
      (number(middle) == current ? same : beyond) = middle;
    }
    position = beyond;
  }
  if (!outside_.allocate(2 * count)) return false;
  for (size_t i = 0; i < outside_.size(); ++i) outside_[i] = found[i];
  return true;
}

bool ZeroPaddingCorrection::compute(const Window& rows, const Window& columns,
                                    const FilterShape& shape, int64_t group_channels,
                                    const PackedFilter& packed, const uint32_t* filter, int lanes) {
  lanes_ = static_cast<size_t>(lanes);
  size_t size;
  const size_t height = static_cast<size_t>(shape.height);
  const size_t width = static_cast<size_t>(shape.width);
  // The summed-area table of the taps, (height + 1) x (width + 1).
  Buffer<int32_t> sums;
  if (!rows_.list(rows) || !columns_.list(columns) ||
      !multiply_all(&size, packed.slots(), rows_.count(), columns_.count()) ||
      !values_.allocate(size) || !multiply_all(&size, height + 1, width + 1) ||
      !sums.allocate(size)) {
    return false;
  }
  const size_t cases = rows_.count() * columns_.count();
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
    int32_t* to = values_.data() + slot / lanes_ * cases * lanes_ + slot % lanes_;
    for (size_t row = 0; row < rows_.count(); ++row) {
      const size_t top = rows_.before(row);
      const size_t bottom = height - rows_.behind(row);
      for (size_t column = 0; column < columns_.count(); ++column, to += lanes_) {
        const size_t left = columns_.before(column);
        const size_t right = width - columns_.behind(column);
        const int32_t all = sums[height * (width + 1) + width];
        // A dilated window may overlap both edges at once with all of its taps outside.
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
