// Where the lines of the input are copied to, so that each patch is contiguous.
//
// A column of an output row holds the filter's height in pixels, one below the other; columns that
// a filter's width reaches stand side by side. Patches that overlap share their columns: this is
// one copy of the lines for each output row, not one of every patch.
//
//   columns of a row, width 3, stride 1:   c0 c1 c2 c3 c4 ...
//   patch of position 0:                  [c0 c1 c2]
//   patch of position 1:                     [c1 c2 c3]
//
// With a dilation d, columns that are d apart stand side by side: all that have the same remainder
// of d, then those with the next. Where that would copy more than the patches hold (a stride or a
// dilation beyond the filter), each patch has columns of its own.
#ifndef KBNN_BCONV2D_LINES_H_
#define KBNN_BCONV2D_LINES_H_

#include "bconv2d_filter.h"
#include "window.h"

namespace kbnn {

class Lines {
 public:
  Lines() = default;

  // For up to `positions` neighbouring outputs of a row; `stored_words` for each of the input's.
  Lines(const Window& rows, const Window& columns, const FilterShape& shape, int stored_words,
        int64_t positions);

  // Words that an output row takes, all groups together; false where they cannot be counted.
  bool row_words(size_t* words) const;

  // Words between two groups, and between two rows.
  size_t group_step() const { return static_cast<size_t>(column_count_) * column_words(); }
  size_t row_step() const { return group_step() * static_cast<size_t>(shape_.groups); }

  // Where the patch of the i-th position starts in its row and group.
  size_t patch_offset(int64_t i) const;

  // Copies what output row `y`, positions first .. first + count - 1, reads of `image`.
  void copy(const Kernels& kernels, const uint32_t* image, int64_t y, int64_t first, int64_t count,
            uint32_t* row) const;

 private:
  // `count` columns of the input, `step` apart from `x` on, to every `target_step`-th column.
  struct Run {
    int64_t x;
    int64_t step;
    int64_t count;
    size_t target;
    size_t target_step;
  };

  size_t column_words() const { return static_cast<size_t>(shape_.height) * pixel_words_; }
  void copy_run(const Kernels& kernels, const uint32_t* line, const Run& run,
                uint32_t* target) const;
  void clear(const Run& run, int64_t first, int64_t last, uint32_t* target) const;

  Window rows_ = {};
  Window columns_ = {};
  FilterShape shape_ = {};
  size_t pixel_words_ = 0;  // of one group, as they are stored
  bool shared_ = true;
  int64_t phases_ = 1;         // remainders of the dilation that occur
  int64_t phase_step_ = 1;     // and what they are multiples of
  int64_t phase_columns_ = 0;  // columns of each
  int64_t column_count_ = 0;
};

}  // namespace kbnn

#endif  // KBNN_BCONV2D_LINES_H_
