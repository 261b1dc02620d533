#include "bconv2d/work_plan.h"

namespace kbnn {
namespace {

// Patches of a block that stay in the first-level cache together with a tile's weights.
constexpr size_t kPatchBytes = 32 * 1024;
// Enough positions that weights are seldom read, few enough that their offsets stay small.
constexpr int64_t kMaxPositions = 512;
// Blocks are not made narrower than this. A patch is as large as a filter, so only a corrupt file
// needs more than kMaxPatchBytes for so few.
constexpr int64_t kMinPositions = 16;
constexpr size_t kMaxPatchBytes = size_t{1} << 30;

}  // namespace

bool plan_work(const Window& rows, const Window& columns, const FilterShape& shape,
               int stored_words, bool in_place, int64_t images, int threads,
               int64_t splittable_tiles, WorkPlan* plan) {
  *plan = WorkPlan();
  plan->block_columns = columns.output < kMaxPositions ? columns.output : kMaxPositions;
  size_t row_words = 0;
  size_t row_bytes = 0;
  while (!in_place) {
    const PatchLayout layout(rows, columns, shape, stored_words, plan->block_columns);
    const bool counted =
        layout.row_words(&row_words) && multiply(row_words, sizeof(uint32_t), &row_bytes);
    if (counted && row_bytes <= kPatchBytes) break;
    if (plan->block_columns <= kMinPositions) {
      if (!counted || row_bytes > kMaxPatchBytes) return false;
      break;
    }
    plan->block_columns = divide_up(plan->block_columns, 2);
  }
  if (plan->block_columns == columns.output) {
    plan->block_rows = kMaxPositions / plan->block_columns;
    if (!in_place) {
      const int64_t fitting = static_cast<int64_t>(kPatchBytes / row_bytes);
      if (plan->block_rows > fitting) plan->block_rows = fitting > 0 ? fitting : 1;
    }
    // Two blocks per thread, so that the others wait less for the last thread to finish.
    const int64_t shares = divide_up(images * rows.output, threads == 1 ? 1 : 2 * threads);
    if (plan->block_rows > shares) plan->block_rows = shares > 0 ? shares : 1;
    if (plan->block_rows > rows.output) plan->block_rows = rows.output;
  }
  plan->patch_words = row_words * static_cast<size_t>(plan->block_rows);
  plan->blocks_down = divide_up(rows.output, plan->block_rows);
  plan->blocks_across = divide_up(columns.output, plan->block_columns);
  const int64_t blocks = images * plan->blocks_down * plan->blocks_across;
  if (blocks > 0 && blocks < threads) {
    const int64_t wanted = divide_up(threads, blocks);
    plan->channel_parts = wanted < splittable_tiles ? wanted : splittable_tiles;
  }
  return true;
}

}  // namespace kbnn
