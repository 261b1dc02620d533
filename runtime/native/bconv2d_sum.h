// What a binary convolution takes over of the nodes behind it: the addition of a residual, and the
// signs of the sums.
#ifndef KBNN_BCONV2D_SUM_H_
#define KBNN_BCONV2D_SUM_H_

#include "checks.h"
#include "kernels.h"

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
  // A run's memory; null where there is none.
  struct Run {
    const float* residual;
    uint32_t* signs;
  };

  void take_residual(int tensor) { residual_ = tensor; }
  void take_signs(int tensor) { signs_ = tensor; }
  bool has_residual() const { return residual_ >= 0; }
  bool has_signs() const { return signs_ >= 0; }

  // Checks the residual, which may be one image for all, and resizes the signs.
  TfLiteStatus prepare(TfLiteContext* context, const OutputShape& shape);

  // An error unless the tensors have the memory that `prepare` expects.
  TfLiteStatus begin(TfLiteContext* context, Run* run) const;

  // Points `tile` to the residual and the signs of `image`, from `pixel` of it on, first channel.
  void apply(const Run& run, int64_t image, int64_t pixel, Tile* tile) const;

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

#endif  // KBNN_BCONV2D_SUM_H_
