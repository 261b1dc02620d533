#include "window.h"

namespace kbnn {
namespace {

int64_t clamp(int64_t value, int64_t maximum) {
  return value < 0 ? 0 : value > maximum ? maximum : value;
}

}  // namespace

int64_t Window::taps_before(int64_t position) const {
  // Taps with start + tap * dilation < 0.
  return clamp((-start(position) + dilation - 1) / dilation, taps);
}

int64_t Window::taps_behind(int64_t position) const {
  // Taps with start + tap * dilation >= input.
  const int64_t room = input - start(position);
  return taps - clamp((room + dilation - 1) / dilation, taps);
}

bool place_windows(int32_t padding, Window* window) {
  const int64_t extent = (window->taps - 1) * window->dilation + 1;
  if (padding == kSame) {
    window->output = (window->input + window->stride - 1) / window->stride;
    const int64_t needed = (window->output - 1) * window->stride + extent - window->input;
    window->padding = needed > 0 ? needed / 2 : 0;
    return true;
  }
  window->padding = 0;
  window->output = window->input < extent ? 0 : (window->input - extent) / window->stride + 1;
  return window->output > 0;
}

}  // namespace kbnn
