// What follows the sums of a binary convolution, as tiles apply it.
#ifndef KBNN_BCONV2D_OUTPUT_H_
#define KBNN_BCONV2D_OUTPUT_H_

#include "bconv2d_filter.h"
#include "checks.h"

namespace kbnn {

// Values of the option fused_activation_function, which are those of TensorFlow Lite's schema.
enum : int32_t { kNone = 0, kRelu = 1, kReluN1To1 = 2, kRelu6 = 3 };

// Arrays have a value for each of the filter's slots.
class FusedOutput {
 public:
  // Of a packed output: bit = differing bits > threshold. `most` differing bits are possible.
  TfLiteStatus take_thresholds(TfLiteContext* context, const TfLiteTensor& thresholds,
                               const PackedFilter& filter, int64_t channels, int64_t most);

  // Of a float32 or int8 `output`: activation(s) * multiplier + bias, for sums s of `products`
  // products, in terms of x = products - s, which is twice the differing bits.
  TfLiteStatus fuse(TfLiteContext* context, const TfLiteTensor& multiplier,
                    const TfLiteTensor& bias, const TfLiteTensor& output,
                    const PackedFilter& filter, int64_t channels, int32_t activation,
                    int64_t products);

  // Points a tile whose first slot is `slot` to its values.
  void apply(size_t slot, Tile* tile) const {
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

#endif  // KBNN_BCONV2D_OUTPUT_H_
