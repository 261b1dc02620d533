// LceQuantize: packs the signs of values, 32 channels to a word. A bit is 1 for a value below zero.
//
// Input: float32, int8 (compared with its zero point) or bool (false is below zero), of rank 1 or
// more. Output: int32, whose last axis is ceil(channels / 32). Unused bits of a row's last word are
// 0.
#include <climits>

#include "operator.h"

namespace kbnn {
namespace {

// With fewer values, waking a thread costs more than it saves.
constexpr size_t kValuesPerTask = 32768;

class Quantize : public Operator {
 public:
  using Operator::Operator;

  TfLiteStatus prepare(TfLiteContext* context, TfLiteNode*) override {
    KBNN_RETURN_IF_ERROR(check_tensors(context, 1, 1));
    const TfLiteTensor& in = input(context, 0);
    TfLiteTensor& out = output(context);
    KBNN_EXPECT(context,
                in.type == kTfLiteFloat32 || in.type == kTfLiteInt8 || in.type == kTfLiteBool,
                "Expected LceQuantize's input to be float32, int8 or bool. Received type %d.",
                static_cast<int>(in.type));
    const int dimensions = rank(in);
    KBNN_EXPECT(context, dimensions >= 1 && dimensions <= kMaxRank,
                "Expected LceQuantize's input to have rank 1 to %d. Received rank %d.", kMaxRank,
                dimensions);
    KBNN_RETURN_IF_ERROR(check_tensor(context, "LceQuantize's input", in, dimensions, in.type));
    KBNN_RETURN_IF_ERROR(
        check_tensor(context, "LceQuantize's output", out, rank(out), kTfLiteInt32));
    int64_t sizes[kMaxRank];
    rows_ = 1;
    for (int axis = 0; axis < dimensions; ++axis) {
      sizes[axis] = dimension(in, axis);
      if (axis < dimensions - 1) rows_ *= static_cast<size_t>(sizes[axis]);
    }
    channels_ = static_cast<size_t>(sizes[dimensions - 1]);
    words_ = static_cast<size_t>(packed_words(sizes[dimensions - 1]));
    sizes[dimensions - 1] = static_cast<int64_t>(words_);
    if (channels_ == 0) rows_ = 0;
    return resize(context, "LceQuantize's output", &out, sizes, dimensions);
  }

  TfLiteStatus invoke(TfLiteContext* context) override {
    const TfLiteTensor& in = input(context, 0);
    const TfLiteTensor& out = output(context);
    const size_t width = in.type == kTfLiteFloat32 ? 4 : 1;
    KBNN_RETURN_IF_ERROR(
        check_memory(context, "LceQuantize's input", in, rows_ * channels_, width));
    KBNN_RETURN_IF_ERROR(
        check_memory(context, "LceQuantize's output", out, rows_ * words_, sizeof(uint32_t)));
    if (rows_ == 0) return kTfLiteOk;
    Run run{this, &in, static_cast<uint32_t*>(out.data), 0};
    run.rows_per_task = (kValuesPerTask + channels_ - 1) / channels_;
    const size_t tasks = (rows_ + run.rows_per_task - 1) / run.rows_per_task;
    resources_.pool->run(tasks, task, &run);
    return kTfLiteOk;
  }

 protected:
  TfLiteStatus read_options(TfLiteContext*, const FlexbufferMap&) override { return kTfLiteOk; }
  const char* name() const override { return "LceQuantize"; }

 private:
  static constexpr int kMaxRank = 8;

  struct Run {
    const Quantize* self;
    const TfLiteTensor* input;
    uint32_t* words;
    size_t rows_per_task;
  };

  static void task(void* argument, size_t index, int) {
    const Run& run = *static_cast<const Run*>(argument);
    const size_t first = index * run.rows_per_task;
    const size_t left = run.self->rows_ - first;
    run.self->pack(*run.input, first, left < run.rows_per_task ? left : run.rows_per_task,
                   run.words + first * run.self->words_);
  }

  void pack(const TfLiteTensor& in, size_t first, size_t rows, uint32_t* words) const {
    const Kernels& kernels = *resources_.kernels;
    const size_t offset = first * channels_;
    if (in.type == kTfLiteFloat32) {
      kernels.pack_float(static_cast<const float*>(in.data) + offset, rows, channels_, words);
    } else if (in.type == kTfLiteInt8) {
      pack_int8(static_cast<const int8_t*>(in.data) + offset, in.params.zero_point, rows, words);
    } else {
      pack_bool(static_cast<const uint8_t*>(in.data) + offset, rows, words);
    }
  }

  void pack_int8(const int8_t* values, int32_t zero_point, size_t rows, uint32_t* words) const {
    if (zero_point > INT8_MIN && zero_point <= INT8_MAX) {
      resources_.kernels->pack_int8(values, rows, channels_, static_cast<int8_t>(zero_point),
                                    words);
      return;
    }
    // Such a zero point is above all values or above none.
    const uint32_t full = zero_point > INT8_MAX ? ~0u : 0u;
    const uint32_t last = channels_ % kWordBits == 0 ? full : full >> (32 - channels_ % kWordBits);
    for (size_t i = 0; i < rows * words_; ++i) words[i] = (i + 1) % words_ == 0 ? last : full;
  }

  void pack_bool(const uint8_t* values, size_t rows, uint32_t* words) const {
    for (size_t row = 0; row < rows; ++row) {
      for (size_t word = 0; word < words_; ++word) {
        uint32_t bits = 0;
        for (size_t c = word * kWordBits; c < channels_ && c < (word + 1) * kWordBits; ++c) {
          bits |= uint32_t{values[row * channels_ + c] == 0} << c % kWordBits;
        }
        words[row * words_ + word] = bits;
      }
    }
  }

  size_t rows_ = 0;
  size_t channels_ = 0;
  size_t words_ = 0;
};

}  // namespace

Operator* new_quantize(const Resources& resources) { return new Quantize(resources); }

}  // namespace kbnn
