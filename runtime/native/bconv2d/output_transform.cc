#include "bconv2d/output_transform.h"

namespace kbnn {
namespace {

// Expects a constant with one value for each channel.
TfLiteStatus check_values(TfLiteContext* context, const char* what, const TfLiteTensor& tensor,
                          TfLiteType type, int64_t channels) {
  KBNN_RETURN_IF_ERROR(check_tensor(context, what, tensor, 1, type));
  KBNN_RETURN_IF_ERROR(check_constant(context, what, tensor, 4));
  KBNN_EXPECT(context, dimension(tensor, 0) == channels,
              "Expected %s to have %d values, one for each channel. Received %d.", what,
              static_cast<int>(channels), static_cast<int>(dimension(tensor, 0)));
  return kTfLiteOk;
}

}  // namespace

TfLiteStatus OutputTransform::set_thresholds(TfLiteContext* context, const TfLiteTensor& thresholds,
                                             const PackedFilter& filter, int64_t channels,
                                             int64_t max_bits) {
  KBNN_RETURN_IF_ERROR(
      check_values(context, "LceBconv2d's thresholds", thresholds, kTfLiteInt32, channels));
  KBNN_EXPECT(context, thresholds_.allocate(filter.slots()),
              "Out of memory: could not allocate LceBconv2d's thresholds.");
  const auto* values = static_cast<const int32_t*>(thresholds.data);
  for (size_t slot = 0; slot < filter.slots(); ++slot) {
    const int64_t channel = filter.channel(slot);
    // An unused slot never exceeds its threshold, so its bit is 0.
    thresholds_[slot] = INT32_MAX;
    if (channel < 0) continue;
    // A threshold below 0 is always exceeded, one of `max_bits` or more never: clamping keeps twice
    // the threshold within 32 bits.
    const int64_t threshold = values[channel] < 0 ? -1 : values[channel];
    thresholds_[slot] = static_cast<int32_t>(2 * (threshold > max_bits ? max_bits : threshold));
  }
  return kTfLiteOk;
}

TfLiteStatus OutputTransform::set_multiplier_and_bias(TfLiteContext* context,
                                                      const TfLiteTensor& multiplier,
                                                      const TfLiteTensor& bias,
                                                      const TfLiteTensor& output,
                                                      const PackedFilter& filter, int64_t channels,
                                                      int32_t activation, int64_t products) {
  KBNN_RETURN_IF_ERROR(
      check_values(context, "LceBconv2d's multiplier", multiplier, kTfLiteFloat32, channels));
  KBNN_RETURN_IF_ERROR(check_values(context, "LceBconv2d's bias", bias, kTfLiteFloat32, channels));
  double scale = 1.0, zero_point = 0.0;
  if (output.type == kTfLiteInt8) {
    scale = output.params.scale;
    zero_point = output.params.zero_point;
    KBNN_EXPECT(context, output.quantization.type == kTfLiteAffineQuantization && scale > 0.0,
                "Expected LceBconv2d's int8 output to have a scale above 0. Received %g.", scale);
  }
  KBNN_EXPECT(context, multiplier_.allocate(filter.slots()) && bias_.allocate(filter.slots()),
              "Out of memory: could not allocate LceBconv2d's multipliers and biases.");
  // s * m + b = x * -m + (b + products * m), computed in double precision as in LCE.
  const double all = static_cast<double>(products);
  for (size_t slot = 0; slot < filter.slots(); ++slot) {
    const int64_t channel = filter.channel(slot);
    // The output of an unused slot is 0, so its sign bit is 0.
    if (channel < 0) continue;
    const double m = static_cast<const float*>(multiplier.data)[channel];
    const double b = static_cast<const float*>(bias.data)[channel];
    multiplier_[slot] = static_cast<float>(-m / scale);
    bias_[slot] = static_cast<float>((b + all * m) / scale + zero_point);
  }
  // The activation clamps s to a range; x = products - s reverses it.
  int64_t lowest = -products, highest = products;
  if (activation != kNone) lowest = activation == kReluN1To1 ? -1 : 0;
  if (activation == kReluN1To1) highest = 1;
  if (activation == kRelu6 && highest > 6) highest = 6;
  clamp_min_ = static_cast<int32_t>(products - highest);
  clamp_max_ = static_cast<int32_t>(products - lowest);
  return kTfLiteOk;
}

}  // namespace kbnn
