// LceBMaxPool2d: the maximum of each window. Since a set bit means -1, it is the AND of the bits.
//
// Input and output: int32, NHWC with packed channels. Padding is ignored.
#include <climits>
#include <cstring>

#include "operator.h"
#include "window.h"

namespace kbnn {
namespace {

class BMaxPool : public Operator {
 public:
  using Operator::Operator;

  TfLiteStatus prepare(TfLiteContext* context, TfLiteNode*) override {
    KBNN_RETURN_IF_ERROR(check_tensors(context, 1, 1));
    const TfLiteTensor& in = input(context, 0);
    TfLiteTensor& out = output(context);
    KBNN_RETURN_IF_ERROR(check_tensor(context, "LceBMaxPool2d's input", in, 4, kTfLiteInt32));
    KBNN_RETURN_IF_ERROR(
        check_tensor(context, "LceBMaxPool2d's output", out, rank(out), kTfLiteInt32));
    batches_ = dimension(in, 0);
    words_ = static_cast<size_t>(dimension(in, 3));
    rows_.input = dimension(in, 1);
    columns_.input = dimension(in, 2);
    KBNN_EXPECT(context, rows_.input > 0 && columns_.input > 0,
                "Expected LceBMaxPool2d's input to have rows and columns. Received %d x %d.",
                static_cast<int>(rows_.input), static_cast<int>(columns_.input));
    KBNN_EXPECT(context, place_windows(padding_, &rows_) && place_windows(padding_, &columns_),
                "Expected LceBMaxPool2d's filter to fit the input. Received %d x %d in %d x %d.",
                static_cast<int>(rows_.taps), static_cast<int>(columns_.taps),
                static_cast<int>(rows_.input), static_cast<int>(columns_.input));
    const int64_t sizes[] = {batches_, rows_.output, columns_.output, static_cast<int64_t>(words_)};
    return resize(context, "LceBMaxPool2d's output", &out, sizes, 4);
  }

  TfLiteStatus invoke(TfLiteContext* context) override {
    const TfLiteTensor& in = input(context, 0);
    const TfLiteTensor& out = output(context);
    KBNN_RETURN_IF_ERROR(check_memory(
        context, "LceBMaxPool2d's input", in,
        static_cast<size_t>(batches_ * rows_.input * columns_.input) * words_, sizeof(uint32_t)));
    KBNN_RETURN_IF_ERROR(check_memory(
        context, "LceBMaxPool2d's output", out,
        static_cast<size_t>(batches_ * rows_.output * columns_.output) * words_, sizeof(uint32_t)));
    if (words_ == 0) return kTfLiteOk;
    Run run{this, static_cast<const uint32_t*>(in.data), static_cast<uint32_t*>(out.data)};
    resources_.pool->run(static_cast<size_t>(batches_ * rows_.output), task, &run);
    return kTfLiteOk;
  }

 protected:
  TfLiteStatus read_options(TfLiteContext* context, const FlexbufferMap& options) override {
    int32_t height, width, stride_height, stride_width;
    KBNN_RETURN_IF_ERROR(read_option(context, options, "filter_height", 1, INT_MAX, &height));
    KBNN_RETURN_IF_ERROR(read_option(context, options, "filter_width", 1, INT_MAX, &width));
    KBNN_RETURN_IF_ERROR(
        read_option(context, options, "stride_height", 1, INT_MAX, &stride_height));
    KBNN_RETURN_IF_ERROR(read_option(context, options, "stride_width", 1, INT_MAX, &stride_width));
    KBNN_RETURN_IF_ERROR(read_option(context, options, "padding", kSame, kValid, &padding_));
    rows_ = {0, height, stride_height, 1, 0, 0};
    columns_ = {0, width, stride_width, 1, 0, 0};
    return kTfLiteOk;
  }
  const char* name() const override { return "LceBMaxPool2d"; }

 private:
  struct Run {
    const BMaxPool* self;
    const uint32_t* input;
    uint32_t* output;
  };

  static void task(void* argument, size_t row, int) {
    const Run& run = *static_cast<const Run*>(argument);
    run.self->pool_row(run.input, static_cast<int64_t>(row), run.output);
  }

  // Computes one row of output pixels. Rows are numbered through all images.
  void pool_row(const uint32_t* in, int64_t row, uint32_t* out) const {
    const int64_t y = row % rows_.output;
    const int64_t top = rows_.start(y) + rows_.taps_before(y);
    const int64_t bottom = rows_.start(y) + rows_.taps - rows_.taps_behind(y);
    const uint32_t* image =
        in + static_cast<size_t>(row / rows_.output * rows_.input * columns_.input) * words_;
    uint32_t* pixel = out + static_cast<size_t>(row * columns_.output) * words_;
    for (int64_t x = 0; x < columns_.output; ++x, pixel += words_) {
      const int64_t left = columns_.start(x) + columns_.taps_before(x);
      const int64_t right = columns_.start(x) + columns_.taps - columns_.taps_behind(x);
      std::memset(pixel, 0xff, words_ * sizeof(uint32_t));
      for (int64_t in_y = top; in_y < bottom; ++in_y) {
        const uint32_t* from = image + static_cast<size_t>(in_y * columns_.input + left) * words_;
        for (int64_t in_x = left; in_x < right; ++in_x, from += words_) {
          for (size_t word = 0; word < words_; ++word) pixel[word] &= from[word];
        }
      }
    }
  }

  int32_t padding_ = kSame;
  Window rows_ = {};
  Window columns_ = {};
  int64_t batches_ = 0;
  size_t words_ = 0;
};

}  // namespace

Operator* new_bmaxpool(const Resources& resources) { return new BMaxPool(resources); }

}  // namespace kbnn
