// The windows of a convolution or a pooling along one axis.
#ifndef KBNN_WINDOW_H_
#define KBNN_WINDOW_H_

#include <cstdint>

namespace kbnn {

// Values of the option `padding`, as in TensorFlow Lite's schema.
enum : int32_t { kSame = 0, kValid = 1 };

struct Window {
  int64_t input;  // size of the input
  int64_t taps;   // size of the filter
  int64_t stride;
  int64_t dilation;
  int64_t output;   // size of the output
  int64_t padding;  // positions before the input; the first window starts at -padding

  // Where the window of an output position starts. May be negative.
  int64_t start(int64_t position) const { return position * stride - padding; }

  // How many of its taps lie before the input, and how many behind it.
  int64_t taps_before(int64_t position) const;
  int64_t taps_behind(int64_t position) const;
};

// Computes `output` and `padding` from the other fields, which must be in 1 .. 2^31 - 1:
//   SAME   output = ceil(input / stride),
//          padding = max(0, (output - 1) stride + extent - input) / 2, rounded down
//   VALID  output = floor((input - extent) / stride) + 1, padding = 0
// with extent = (taps - 1) dilation + 1. False if the output would be empty.
bool place_windows(int32_t padding, Window* window);

}  // namespace kbnn

#endif  // KBNN_WINDOW_H_
