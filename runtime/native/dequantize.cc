// LceDequantize: unpacks bits to values, 1 to -1 and 0 to +1.
//
// Input: int32, of rank 1 or more. Output: float32; int8, where +-1 become zero point +-
// round(1 / scale), clamped to -128 .. 127; or bool, true for +1. The number of channels is taken
// from the output's shape in the file, since the words do not tell it.
#include <cmath>

#include "operator.h"

namespace kbnn {
namespace {

constexpr size_t kValuesPerTask = 32768;

class Dequantize : public Operator {
 public:
  using Operator::Operator;

  TfLiteStatus prepare(TfLiteContext* context, TfLiteNode*) override {
    KBNN_RETURN_IF_ERROR(check_tensors(context, 1, 1));
    const TfLiteTensor& in = input(context, 0);
    TfLiteTensor& out = output(context);
    const int dimensions = rank(in);
    KBNN_EXPECT(context, dimensions >= 1 && dimensions <= kMaxRank,
                "Expected LceDequantize's input to have rank 1 to %d. Received rank %d.", kMaxRank,
                dimensions);
    KBNN_RETURN_IF_ERROR(
        check_tensor(context, "LceDequantize's input", in, dimensions, kTfLiteInt32));
    KBNN_EXPECT(context,
                out.type == kTfLiteFloat32 || out.type == kTfLiteInt8 || out.type == kTfLiteBool,
                "Expected LceDequantize's output to be float32, int8 or bool. Received type %d.",
                static_cast<int>(out.type));
    KBNN_RETURN_IF_ERROR(
        check_tensor(context, "LceDequantize's output", out, dimensions, out.type));
    const int64_t channels = dimension(out, dimensions - 1);
    KBNN_EXPECT(context, packed_words(channels) == dimension(in, dimensions - 1),
                "Expected LceDequantize's input to have %d words for %d channels. Received %d.",
                static_cast<int>(packed_words(channels)), static_cast<int>(channels),
                static_cast<int>(dimension(in, dimensions - 1)));
    KBNN_EXPECT(context, out.type != kTfLiteInt8 || out.params.scale > 0.0f,
                "Expected LceDequantize's int8 output to have a scale above 0. Received %g.",
                static_cast<double>(out.params.scale));
    int64_t sizes[kMaxRank];
    rows_ = 1;
    for (int axis = 0; axis < dimensions - 1; ++axis) {
      sizes[axis] = dimension(in, axis);
      rows_ *= static_cast<size_t>(sizes[axis]);
    }
    sizes[dimensions - 1] = channels;
    channels_ = static_cast<size_t>(channels);
    words_ = static_cast<size_t>(packed_words(channels));
    if (channels_ == 0) rows_ = 0;
    return resize(context, "LceDequantize's output", &out, sizes, dimensions);
  }

  TfLiteStatus invoke(TfLiteContext* context) override {
    const TfLiteTensor& in = input(context, 0);
    const TfLiteTensor& out = output(context);
    const size_t width = out.type == kTfLiteFloat32 ? 4 : 1;
    KBNN_RETURN_IF_ERROR(
        check_memory(context, "LceDequantize's input", in, rows_ * words_, sizeof(uint32_t)));
    KBNN_RETURN_IF_ERROR(
        check_memory(context, "LceDequantize's output", out, rows_ * channels_, width));
    if (rows_ == 0) return kTfLiteOk;
    Run run{this, static_cast<const uint32_t*>(in.data), &out, 0};
    run.rows_per_task = (kValuesPerTask + channels_ - 1) / channels_;
    resources_.pool->run((rows_ + run.rows_per_task - 1) / run.rows_per_task, task, &run);
    return kTfLiteOk;
  }

 protected:
  TfLiteStatus read_options(TfLiteContext*, const FlexbufferMap&) override { return kTfLiteOk; }
  const char* name() const override { return "LceDequantize"; }

 private:
  static constexpr int kMaxRank = 8;

  struct Run {
    const Dequantize* self;
    const uint32_t* words;
    const TfLiteTensor* output;
    size_t rows_per_task;
  };

  static void task(void* argument, size_t index, int) {
    const Run& run = *static_cast<const Run*>(argument);
    const size_t first = index * run.rows_per_task;
    const size_t left = run.self->rows_ - first;
    run.self->unpack(run.words + first * run.self->words_, first,
                     left < run.rows_per_task ? left : run.rows_per_task, *run.output);
  }

  void unpack(const uint32_t* words, size_t first, size_t rows, const TfLiteTensor& out) const {
    const Kernels& kernels = *resources_.kernels;
    const size_t offset = first * channels_;
    if (out.type == kTfLiteFloat32) {
      kernels.unpack_float(words, rows, channels_, static_cast<float*>(out.data) + offset);
      return;
    }
    uint8_t plus = 1, minus = 0;
    if (out.type == kTfLiteInt8) {
      // Steps beyond 255 are clamped anyway, and a huge one could overflow the conversion.
      const double step = std::round(std::fmin(1.0f / out.params.scale, 256.0f));
      const double zero_point = out.params.zero_point;
      plus = clamp_to_byte(zero_point + step);
      minus = clamp_to_byte(zero_point - step);
    }
    kernels.unpack_bytes(words, rows, channels_, plus, minus,
                         static_cast<uint8_t*>(out.data) + offset);
  }

  static uint8_t clamp_to_byte(double value) {
    return static_cast<uint8_t>(static_cast<int8_t>(std::fmax(-128.0, std::fmin(127.0, value))));
  }

  size_t rows_ = 0;
  size_t channels_ = 0;
  size_t words_ = 0;
};

}  // namespace

Operator* new_dequantize(const Resources& resources) { return new Dequantize(resources); }

}  // namespace kbnn
