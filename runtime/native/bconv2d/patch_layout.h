// The scratch layout in which the patch of every output position is contiguous.
//
// This is im2col without its repetition. A column holds as many pixels as the filter is high, one
// below the other, and a patch is as many neighbouring columns as the filter is wide. Overlapping
// patches share columns, so each output row copies its input rows once, not every patch.
//
//   columns of a row, width 3, stride 1:   c0 c1 c2 c3 c4 ...
//   patch of position 0:                  [c0 c1 c2]
//   patch of position 1:                     [c1 c2 c3]
//
// With a dilation d, a patch needs every d-th column. Columns are therefore grouped by phase, their
// remainder modulo d, and each phase is stored contiguously. If sharing would copy more than the
// patches hold (a stride or a dilation beyond the filter), each patch gets its own columns.
#ifndef KBNN_BCONV2D_PATCH_LAYOUT_H_
#define KBNN_BCONV2D_PATCH_LAYOUT_H_

#include "bconv2d/packed_filter.h"
#include "window.h"

namespace kbnn {

class PatchLayout {
 public:
  PatchLayout() = default;

  // A layout for up to `positions` neighbouring outputs of a row. Each word of the input is stored
  // as `stored_words` words.
  PatchLayout(const Window& rows, const Window& columns, const FilterShape& shape, int stored_words,
              int64_t positions);

  // The words that one output row takes, over all groups. False if they overflow size_t.
  bool row_words(size_t* words) const;

  // Words between two groups, and between two rows.
  size_t group_step() const { return static_cast<size_t>(column_count_) * column_words(); }
  size_t row_step() const { return group_step() * static_cast<size_t>(shape_.groups); }

  // Where the patch of the i-th position starts within its row and group.
  size_t patch_offset(int64_t i) const;

  // Copies the pixels of `image` that output row `y` reads for positions first .. first + count
  // - 1.
  void copy_row(const Kernels& kernels, const uint32_t* image, int64_t y, int64_t first,
                int64_t count, uint32_t* row) const;

 private:
  // `count` input columns, `step` apart and starting at `x`, and where they go: the target's
  // columns `target`, `target` + `target_step`, ...
  struct ColumnRun {
    int64_t x;
    int64_t step;
    int64_t count;
    size_t target;
    size_t target_step;
  };

  size_t column_words() const { return static_cast<size_t>(shape_.height) * pixel_words_; }
  // Copies one input row's pixels; outside the image (`line` null, or beyond its ends) writes
  // zeros.
  void copy_run(const Kernels& kernels, const uint32_t* line, const ColumnRun& run,
                uint32_t* target) const;
  void clear_run(const ColumnRun& run, int64_t first, int64_t last, uint32_t* target) const;

  Window rows_ = {};
  Window columns_ = {};
  FilterShape shape_ = {};
  size_t pixel_words_ = 0;     // stored words of a pixel in one group
  bool shared_ = true;         // overlapping patches share columns
  int64_t phases_ = 1;         // how many remainders modulo the dilation occur
  int64_t phase_step_ = 1;     // they are multiples of this
  int64_t phase_columns_ = 0;  // columns of each phase
  int64_t column_count_ = 0;
};

}  // namespace kbnn

#endif  // KBNN_BCONV2D_PATCH_LAYOUT_H_
