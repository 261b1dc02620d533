// How the output of a binary convolution is cut into pieces of work.
#ifndef KBNN_BCONV2D_BANDS_H_
#define KBNN_BCONV2D_BANDS_H_

#include "bconv2d_lines.h"

namespace kbnn {

// A band is some whole rows of the output, or a part of one row where a row's lines are too many
// for the cache. Tiles of output channels go through all of a band's positions, so that a tile's
// weights are read from memory once a band.
struct Bands {
  int64_t rows = 1;     // of a band
  int64_t columns = 1;  // the output's, unless rows is 1
  int64_t down = 1;     // bands of an image, from top to bottom
  int64_t across = 1;
  int64_t channel_parts = 1;  // where there are fewer bands than threads: parts of the tiles
  size_t line_words = 0;      // that a band's lines take; 0: patches are read where they are

  int64_t count(int64_t images) const { return images * down * across * channel_parts; }
  size_t positions() const { return static_cast<size_t>(rows * columns); }
};

// `in_place`: the input's pixels are patches as they are. `splittable_tiles`: pieces that the tiles
// can be divided into. False where a band's lines cannot be counted or take more than a gigabyte.
bool plan_bands(const Window& rows, const Window& columns, const FilterShape& shape,
                int stored_words, bool in_place, int64_t images, int threads,
                int64_t splittable_tiles, Bands* bands);

}  // namespace kbnn

#endif  // KBNN_BCONV2D_BANDS_H_
