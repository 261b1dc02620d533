#include "bconv2d/residual_sum.h"

namespace kbnn {

TfLiteStatus ResidualSum::prepare(TfLiteContext* context, const OutputShape& shape) {
  shape_ = shape;
  if (!has_residual()) return kTfLiteOk;
  const TfLiteTensor& residual = *tensor_at(context, residual_);
  KBNN_RETURN_IF_ERROR(check_tensor(context, "LceBconv2d's residual", residual, 4, kTfLiteFloat32));
  residual_images_ = dimension(residual, 0);
  KBNN_EXPECT(context,
              (residual_images_ == 1 || residual_images_ == shape.images) &&
                  dimension(residual, 1) == shape.rows && dimension(residual, 2) == shape.columns &&
                  dimension(residual, 3) == shape.channels,
              "Expected LceBconv2d's residual to have the output's shape, %d x %d x %d x %d. "
              "Received %d x %d x %d x %d. Set the delegate's option fusion=off to let ADD "
              "broadcast it.",
              static_cast<int>(shape.images), static_cast<int>(shape.rows),
              static_cast<int>(shape.columns), static_cast<int>(shape.channels),
              static_cast<int>(residual_images_), static_cast<int>(dimension(residual, 1)),
              static_cast<int>(dimension(residual, 2)), static_cast<int>(dimension(residual, 3)));
  if (!has_signs()) return kTfLiteOk;
  const int64_t sizes[] = {shape.images, shape.rows, shape.columns, packed_words(shape.channels)};
  return resize(context, "LceQuantize's output", tensor_at(context, signs_), sizes, 4);
}

TfLiteStatus ResidualSum::start_run(TfLiteContext* context, Run* run) const {
  *run = {nullptr, nullptr};
  if (!has_residual()) return kTfLiteOk;
  const TfLiteTensor& residual = *tensor_at(context, residual_);
  KBNN_RETURN_IF_ERROR(check_memory(
      context, "LceBconv2d's residual", residual,
      static_cast<size_t>(residual_images_ * shape_.pixels() * shape_.channels), sizeof(float)));
  run->residual = static_cast<const float*>(residual.data);
  if (!has_signs()) return kTfLiteOk;
  const TfLiteTensor& signs = *tensor_at(context, signs_);
  KBNN_RETURN_IF_ERROR(check_memory(
      context, "LceQuantize's output", signs,
      static_cast<size_t>(shape_.images * shape_.pixels()) * sign_words(), sizeof(uint32_t)));
  run->signs = static_cast<uint32_t*>(signs.data);
  return kTfLiteOk;
}

void ResidualSum::set_tile(const Run& run, int64_t image, int64_t pixel, Tile* tile) const {
  if (run.residual != nullptr) {
    tile->residual = run.residual + first_pixel(residual_images_, image, pixel) *
                                        static_cast<size_t>(shape_.channels);
  }
  if (run.signs != nullptr) {
    tile->signs = run.signs + first_pixel(shape_.images, image, pixel) * sign_words();
    tile->signs_step = sign_words();
  }
}

}  // namespace kbnn
