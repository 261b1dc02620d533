#include "bconv2d_output.h"

namespace kbnn {
namespace {

// A value of the file for each channel.
TfLiteStatus check_values(TfLiteContext* context, const char* what, const TfLiteTensor& given,
                          TfLiteType type, int64_t channels) {
  KBNN_RETURN_IF_ERROR(check_tensor(context, what, given, 1, type));
  KBNN_RETURN_IF_ERROR(check_constant(context, what, given, 4));
  KBNN_EXPECT(context, dimension(given, 0) == channels, "Expected %s for %d channels. Received %d.",
              what, static_cast<int>(channels), static_cast<int>(dimension(given, 0)));
  return kTfLiteOk;
}

}  // namespace

TfLiteStatus FusedOutput::take_thresholds(TfLiteContext* context, const TfLiteTensor& thresholds,
                                          const PackedFilter& filter, int64_t channels,
                                          int64_t most) {
  KBNN_RETURN_IF_ERROR(
      check_values(context, "LceBconv2d's thresholds", thresholds, kTfLiteInt32, channels));
  KBNN_EXPECT(context, thresholds_.allocate(filter.slots()),
              "Expected memory for LceBconv2d's thresholds. Received none.");
  const auto* given = static_cast<const int32_t*>(thresholds.data);
  for (size_t slot = 0; slot < filter.slots(); ++slot) {
    const int64_t channel = filter.channel(slot);
    // A channel that does not exist never exceeds its threshold: its bit is 0.
    thresholds_[slot] = INT32_MAX;
    if (channel < 0) continue;
    // Thresholds below 0 are always exceeded and those from `most` on never, whatever their value.
    const int64_t threshold = given[channel] < 0 ? -1 : given[channel];
    thresholds_[slot] = static_cast<int32_t>(2 * (threshold > most ? most : threshold));
  }
  return kTfLiteOk;
}

TfLiteStatus FusedOutput::fuse(TfLiteContext* context, const TfLiteTensor& multiplier,
                               const TfLiteTensor& bias, const TfLiteTensor& output,
                               const PackedFilter& filter, int64_t channels, int32_t activation,
                               int64_t products) {
  KBNN_RETURN_IF_ERROR(
      check_values(context, "LceBconv2d's multiplier", multiplier, kTfLiteFloat32, channels));
  KBNN_RETURN_IF_ERROR(check_values(context, "LceBconv2d's bias", bias, kTfLiteFloat32, channels));
  double scale = 1.0, zero_point = 0.0;
  if (output.type == kTfLiteInt8) {
    scale = output.params.scale;
    zero_point = output.params.zero_point;
    KBNN_EXPECT(context, output.quantization.type == kTfLiteAffineQuantization && scale > 0.0,
                "Expected LceBconv2d's int8 output with a scale above 0. Received %g.", scale);
  }
  KBNN_EXPECT(context, multiplier_.allocate(filter.slots()) && bias_.allocate(filter.slots()),
              "Expected memory for LceBconv2d's multipliers. Received none.");
  // s * m + b = x * -m + (b + products * m), in double precision as LCE has it.
  const double all = static_cast<double>(products);
  for (size_t slot = 0; slot < filter.slots(); ++slot) {
    const int64_t channel = filter.channel(slot);
    // What a channel that does not exist gives is 0, so that it adds no sign.
    if (channel < 0) continue;
    const double m = static_cast<const float*>(multiplier.data)[channel];
    const double b = static_cast<const float*>(bias.data)[channel];
    multiplier_[slot] = static_cast<float>(-m / scale);
    bias_[slot] = static_cast<float>((b + all * m) / scale + zero_point);
  }
  // The activation's range of s, turned into that of x.
  int64_t lowest = -products, highest = products;
  if (activation != kNone) lowest = activation == kReluN1To1 ? -1 : 0;
  if (activation == kReluN1To1) highest = 1;
  if (activation == kRelu6 && highest > 6) highest = 6;
  clamp_min_ = static_cast<int32_t>(products - highest);
  clamp_max_ = static_cast<int32_t>(products - lowest);
  return kTfLiteOk;
}

}  // namespace kbnn
