// The output transform of a binary convolution: from the number of differing bits to float32, int8
// or packed outputs.
#ifndef KBNN_BCONV2D_OUTPUT_TRANSFORM_H_
#define KBNN_BCONV2D_OUTPUT_TRANSFORM_H_

#include "bconv2d/packed_filter.h"
#include "checks.h"

namespace kbnn {

// Values of the option fused_activation_function, as in TensorFlow Lite's schema.
enum : int32_t { kNone = 0, kRelu = 1, kReluN1To1 = 2, kRelu6 = 3 };

// Its arrays have one value for each slot of the packed filter.
class OutputTransform {
 public:
  // For packed outputs: bit = differing bits > threshold. At most `max_bits` bits can differ.
  TfLiteStatus set_thresholds(TfLiteContext* context, const TfLiteTensor& thresholds,
                              const PackedFilter& filter, int64_t channels, int64_t max_bits);

  // For float32 and int8 outputs: activation(s) * multiplier + bias, where s is a sum of `products`
  // products. It is applied to x = products - s, which is twice the differing bits.
  TfLiteStatus set_multiplier_and_bias(TfLiteContext* context, const TfLiteTensor& multiplier,
                                       const TfLiteTensor& bias, const TfLiteTensor& output,
                                       const PackedFilter& filter, int64_t channels,
                                       int32_t activation, int64_t products);

  // Sets the values of a tile whose first slot is `slot`.
  void set_tile(size_t slot, Tile* tile) const {
    if (thresholds_.size() > 0) {
      tile->thresholds = thresholds_.data() + slot;
      return;
    }
    tile->multiplier = multiplier_.data() + slot;
    tile->bias = bias_.data() + slot;
    tile->clamp_min = clamp_min_;
    tile->clamp_max = clamp_max_;
  }

 private:
  Buffer<float> multiplier_;
  Buffer<float> bias_;
  Buffer<int32_t> thresholds_;
  int32_t clamp_min_ = 0;
  int32_t clamp_max_ = 0;
};

}  // namespace kbnn

#endif  // KBNN_BCONV2D_OUTPUT_TRANSFORM_H_
