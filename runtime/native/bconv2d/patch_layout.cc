#include "bconv2d/patch_layout.h"

namespace kbnn {
namespace {

int64_t greatest_common_divisor(int64_t a, int64_t b) {
  while (b != 0) {
    const int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }

}  // namespace

PatchLayout::PatchLayout(const Window& rows, const Window& columns, const FilterShape& shape,
                         int stored_words, int64_t positions)
    : rows_(rows),
      columns_(columns),
      shape_(shape),
      pixel_words_(static_cast<size_t>(shape.words * stored_words)) {
  phase_step_ = greatest_common_divisor(columns.stride, columns.dilation);
  phases_ = columns.dilation / phase_step_;
  phase_columns_ = (positions - 1) * columns.stride / columns.dilation + columns.taps;
  // If there are no more positions than phases, every position has a phase to itself: nothing to
  // share.
  shared_ = phases_ < positions && phase_columns_ < positions * columns.taps / phases_;
  column_count_ = shared_ ? phases_ * phase_columns_ : positions * columns.taps;
}

bool PatchLayout::row_words(size_t* words) const {
  return multiply_all(words, column_count_, shape_.height, pixel_words_, shape_.groups);
}

size_t PatchLayout::patch_offset(int64_t i) const {
  int64_t column = i * columns_.taps;
  if (shared_) {
    const int64_t start = i * columns_.stride;
    column = start % columns_.dilation / phase_step_ * phase_columns_ + start / columns_.dilation;
  }
  return static_cast<size_t>(column) * column_words();
}

void PatchLayout::copy_row(const Kernels& kernels, const uint32_t* image, int64_t y, int64_t first,
                           int64_t count, uint32_t* row) const {
  const size_t line_words =
      static_cast<size_t>(columns_.input * shape_.words) * static_cast<size_t>(shape_.groups);
  const int64_t x = columns_.start(first);
  for (int64_t tap_y = 0; tap_y < shape_.height; ++tap_y) {
    const int64_t in_y = rows_.start(y) + tap_y * rows_.dilation;
    const bool inside = in_y >= 0 && in_y < rows_.input;
    const uint32_t* line = inside ? image + static_cast<size_t>(in_y) * line_words : nullptr;
    uint32_t* target = row + static_cast<size_t>(tap_y) * pixel_words_;
    if (shared_) {
      for (int64_t phase = 0; phase < phases_; ++phase) {
        copy_run(kernels, line,
                 {x + phase * phase_step_, columns_.dilation, phase_columns_,
                  static_cast<size_t>(phase * phase_columns_), 1},
                 target);
      }
    } else {
      for (int64_t tap_x = 0; tap_x < columns_.taps; ++tap_x) {
        copy_run(kernels, line,
                 {x + tap_x * columns_.dilation, columns_.stride, count, static_cast<size_t>(tap_x),
                  static_cast<size_t>(columns_.taps)},
                 target);
      }
    }
  }
}

void PatchLayout::copy_run(const Kernels& kernels, const uint32_t* line, const ColumnRun& run,
                           uint32_t* target) const {
  // Columns `begin` to `end` lie inside the image.
  int64_t begin = run.count;
  int64_t end = run.count;
  if (line != nullptr) {
    begin = run.x >= 0 ? 0 : minimum(divide_up(-run.x, run.step), run.count);
    const int64_t room = columns_.input - run.x;
    end = room <= 0 ? begin : minimum(divide_up(room, run.step), run.count);
    if (end < begin) end = begin;
  }
  clear_run(run, 0, begin, target);
  clear_run(run, end, run.count, target);
  if (begin == end) return;
  const size_t words = static_cast<size_t>(shape_.words);
  const size_t source_step = words * static_cast<size_t>(shape_.groups);
  const uint32_t* from = line + static_cast<size_t>(run.x + begin * run.step) * source_step;
  const size_t first = run.target + static_cast<size_t>(begin) * run.target_step;
  for (int64_t group = 0; group < shape_.groups; ++group) {
    kernels.copy_pixels(from + static_cast<size_t>(group) * words,
                        static_cast<size_t>(run.step) * source_step,
                        static_cast<size_t>(end - begin), words,
                        target + static_cast<size_t>(group) * group_step() + first * column_words(),
                        run.target_step * column_words());
  }
}

void PatchLayout::clear_run(const ColumnRun& run, int64_t first, int64_t last,
                            uint32_t* target) const {
  for (int64_t group = 0; group < shape_.groups; ++group) {
    for (int64_t i = first; i < last; ++i) {
      const size_t column = run.target + static_cast<size_t>(i) * run.target_step;
      std::memset(target + static_cast<size_t>(group) * group_step() + column * column_words(), 0,
                  pixel_words_ * sizeof(uint32_t));
    }
  }
}

}  // namespace kbnn
