#include "bconv2d_bands.h"

namespace kbnn {
namespace {

// Lines that stay in the first-level cache, beside a tile's weights.
constexpr size_t kLineBytes = 32 * 1024;
// Enough for a tile's weights to be read seldom, few enough for their offsets to be small.
constexpr int64_t kMaxPositions = 512;
// Of one band's row; a patch is as large as a filter, so more is a spoiled file's.
constexpr int64_t kFewestPositions = 16;
constexpr size_t kMaxLineBytes = size_t{1} << 30;

}  // namespace

bool plan_bands(const Window& rows, const Window& columns, const FilterShape& shape,
                int stored_words, bool in_place, int64_t images, int threads,
                int64_t splittable_tiles, Bands* bands) {
  *bands = Bands();
  bands->columns = columns.output < kMaxPositions ? columns.output : kMaxPositions;
  size_t row_words = 0;
  size_t row_bytes = 0;
  while (!in_place) {
    const Lines lines(rows, columns, shape, stored_words, bands->columns);
    const bool counted =
        lines.row_words(&row_words) && multiply(row_words, sizeof(uint32_t), &row_bytes);
    if (counted && row_bytes <= kLineBytes) break;
    if (bands->columns <= kFewestPositions) {
      if (!counted || row_bytes > kMaxLineBytes) return false;
      break;
    }
    bands->columns = divide_up(bands->columns, 2);
  }
  if (bands->columns == columns.output) {
    bands->rows = kMaxPositions / bands->columns;
    if (!in_place) {
      const int64_t fitting = static_cast<int64_t>(kLineBytes / row_bytes);
      if (bands->rows > fitting) bands->rows = fitting > 0 ? fitting : 1;
    }
    // Twice as many bands as threads, that the last thread to finish keeps the others waiting less.
    const int64_t shares = divide_up(images * rows.output, threads == 1 ? 1 : 2 * threads);
    if (bands->rows > shares) bands->rows = shares > 0 ? shares : 1;
    if (bands->rows > rows.output) bands->rows = rows.output;
  }
  bands->line_words = row_words * static_cast<size_t>(bands->rows);
  bands->down = divide_up(rows.output, bands->rows);
  bands->across = divide_up(columns.output, bands->columns);
  const int64_t whole = images * bands->down * bands->across;
  if (whole > 0 && whole < threads) {
    const int64_t wanted = divide_up(threads, whole);
    bands->channel_parts = wanted < splittable_tiles ? wanted : splittable_tiles;
  }
  return true;
}

}  // namespace kbnn
