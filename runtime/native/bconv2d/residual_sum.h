// What a binary convolution computes for the nodes fused with it: the sum with a residual, and the
// signs of that sum.
#ifndef KBNN_BCONV2D_RESIDUAL_SUM_H_
#define KBNN_BCONV2D_RESIDUAL_SUM_H_

#include "checks.h"
#include "kernels/kernels.h"

namespace kbnn {

// Sizes of the convolution's output.
struct OutputShape {
  int64_t images;
  int64_t rows;
  int64_t columns;
  int64_t channels;

  int64_t pixels() const { return rows * columns; }
};

class ResidualSum {
 public:
  // The memory of one run. A pointer is null if the fusion has no such tensor.
  struct Run {
    const float* residual;
    uint32_t* signs;
  };

  void set_residual(int tensor) { residual_ = tensor; }
  void set_signs(int tensor) { signs_ = tensor; }
  bool has_residual() const { return residual_ >= 0; }
  bool has_signs() const { return signs_ >= 0; }

  // Checks the residual, which may be one image that is added to all, and resizes the signs.
  TfLiteStatus prepare(TfLiteContext* context, const OutputShape& shape);

  // Fills in `run`. An error unless the tensors have the memory that their shapes need.
  TfLiteStatus start_run(TfLiteContext* context, Run* run) const;

  // Sets the tile's residual and signs to the first channel of `pixel` in `image`.
  void set_tile(const Run& run, int64_t image, int64_t pixel, Tile* tile) const;

 private:
  size_t sign_words() const { return static_cast<size_t>(packed_words(shape_.channels)); }
  size_t first_pixel(int64_t images, int64_t image, int64_t pixel) const {
    return static_cast<size_t>((images == 1 ? 0 : image * shape_.pixels()) + pixel);
  }

  int residual_ = -1;
  int signs_ = -1;
  OutputShape shape_ = {};
  int64_t residual_images_ = 0;
};

}  // namespace kbnn

#endif  // KBNN_BCONV2D_RESIDUAL_SUM_H_
