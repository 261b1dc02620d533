// How the output of a binary convolution is divided into tasks for the threads.
#ifndef KBNN_BCONV2D_WORK_PLAN_H_
#define KBNN_BCONV2D_WORK_PLAN_H_

#include "bconv2d/patch_layout.h"

namespace kbnn {

// The output is divided into blocks: several whole rows, or part of one row if the patches of a
// whole row do not fit the cache. Every tile of output channels visits all positions of a block, so
// a tile's weights are read from memory once per block.
struct WorkPlan {
  int64_t block_rows = 1;
  int64_t block_columns = 1;  // the output's width unless block_rows is 1
  int64_t blocks_down = 1;    // per image
  int64_t blocks_across = 1;
  int64_t channel_parts = 1;  // with fewer blocks than threads, each block's tiles are split too
  size_t patch_words = 0;     // scratch for the patches of a block; 0: patches are read in place

  int64_t task_count(int64_t images) const {
    return images * blocks_down * blocks_across * channel_parts;
  }
  size_t block_positions() const { return static_cast<size_t>(block_rows * block_columns); }
};

// Args:
//   in_place: each input pixel already is a patch, so nothing is copied.
//   splittable_tiles: into how many parts the tiles can be split.
// False if the patches of a block overflow size_t or take more than a gigabyte.
bool plan_work(const Window& rows, const Window& columns, const FilterShape& shape,
               int stored_words, bool in_place, int64_t images, int threads,
               int64_t splittable_tiles, WorkPlan* plan);

}  // namespace kbnn

#endif  // KBNN_BCONV2D_WORK_PLAN_H_
