// LceBconv2d: a binary convolution with its output transform.
//
// Inputs: packed activations (int32, NHWC), packed filters (int32, OHWI), multiplier and bias
// (float32, one value per channel) for float32 and int8 outputs, thresholds (int32) for packed
// outputs. With s the sum of K products of +-1:
//   float32  activation(s) * multiplier + bias
//   int8     float32 / scale + zero point, rounded, halves away from zero
//   packed   bit = (K - s) / 2 > threshold
// Fused with an ADD, the convolution writes the float32 sum with a residual. Fused with an
// LceQuantize after the ADD, it also writes the signs of that sum.
//
// The semantics follow the reference kernel of Larq Compute Engine, with two differences: zero
// padding is exact for an odd number of channels too, and it works with every activation and output
// type.
#include <climits>

#include "bconv2d/fusion.h"
#include "bconv2d/output_transform.h"
#include "bconv2d/residual_sum.h"
#include "bconv2d/work_plan.h"
#include "bconv2d/zero_padding.h"
#include "operator.h"

namespace kbnn {
namespace {

// With at most this many products, twice a sum plus its padding correction fits 32 bits.
constexpr int64_t kMaxProducts = int64_t{1} << 28;

class BConv2d : public Operator {
 public:
  using Operator::Operator;

  TfLiteStatus fuse_next(TfLiteContext* context, const TfLiteNode& node) override;
  TfLiteStatus prepare(TfLiteContext* context, TfLiteNode* node) override;
  TfLiteStatus invoke(TfLiteContext* context) override;

 protected:
  TfLiteStatus read_options(TfLiteContext* context, const FlexbufferMap& options) override;
  const char* name() const override { return "LceBconv2d"; }

 private:
  // What all tasks of one run share.
  struct Run {
    const BConv2d* self;
    const uint32_t* input;
    uint8_t* output;
    uint8_t* scratch;
    ResidualSum::Run sum;
  };

  TfLiteStatus check_shapes(TfLiteContext* context);
  TfLiteStatus pack_constants(TfLiteContext* context);
  TfLiteStatus request_scratch(TfLiteContext* context, TfLiteNode* node);
  void compute_task(const Run& run, size_t index, int worker) const;
  void compute_tile(int64_t index, Tile tile) const;

  bool zero_padding() const { return padding_ == kSame && pad_values_ == 0; }
  int64_t products() const { return shape_.height * shape_.width * group_channels_; }
  size_t output_words() const {
    return static_cast<size_t>(output_type_ == kTfLiteInt32 ? packed_words(shape_.channels)
                                                            : shape_.channels);
  }
  // Bytes of a position's packed output or signs.
  size_t position_bytes() const {
    return static_cast<size_t>(packed_words(shape_.channels)) * sizeof(uint32_t);
  }
  size_t output_bytes() const { return output_type_ == kTfLiteInt8 ? 1 : 4; }
  // A worker's scratch: offsets of patches, offsets of corrections, patches.
  size_t offset_bytes() const { return align(plan_.block_positions() * sizeof(size_t)); }
  size_t worker_bytes() const {
    return 2 * offset_bytes() + align(plan_.patch_words * sizeof(uint32_t));
  }
  static size_t align(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

  int32_t padding_ = kSame;
  int32_t pad_values_ = 0;
  int32_t channels_in_ = 0;
  int32_t activation_ = kNone;
  TfLiteType output_type_ = kTfLiteFloat32;

  Window rows_ = {};
  Window columns_ = {};
  FilterShape shape_ = {};
  int64_t images_ = 0;
  int64_t group_channels_ = 0;
  bool groups_share_words_ = false;  // a group's packed outputs may start within a word
  bool in_place_ = false;

  bool constants_ready_ = false;
  PackedFilter filter_;
  OutputTransform transform_;
  ResidualSum sum_;
  ZeroPaddingCorrection correction_;

  PatchLayout layout_;
  WorkPlan plan_;
  int scratch_index_ = -1;
};

TfLiteStatus BConv2d::read_options(TfLiteContext* context, const FlexbufferMap& options) {
  int32_t stride_height, stride_width, dilation_height, dilation_width;
  KBNN_RETURN_IF_ERROR(read_option(context, options, "stride_height", 1, INT_MAX, &stride_height));
  KBNN_RETURN_IF_ERROR(read_option(context, options, "stride_width", 1, INT_MAX, &stride_width));
  KBNN_RETURN_IF_ERROR(
      read_option(context, options, "dilation_height_factor", 1, INT_MAX, &dilation_height));
  KBNN_RETURN_IF_ERROR(
      read_option(context, options, "dilation_width_factor", 1, INT_MAX, &dilation_width));
  KBNN_RETURN_IF_ERROR(read_option(context, options, "padding", kSame, kValid, &padding_));
  KBNN_RETURN_IF_ERROR(read_option(context, options, "pad_values", 0, 1, &pad_values_));
  KBNN_RETURN_IF_ERROR(read_option(context, options, "channels_in", 1, INT_MAX, &channels_in_));
  KBNN_RETURN_IF_ERROR(
      read_option(context, options, "fused_activation_function", kNone, kRelu6, &activation_));
  rows_ = {0, 0, stride_height, dilation_height, 0, 0};
  columns_ = {0, 0, stride_width, dilation_width, 0, 0};
  return kTfLiteOk;
}

TfLiteStatus BConv2d::fuse_next(TfLiteContext*, const TfLiteNode& node) {
  if (sum_.has_residual()) {
    sum_.set_signs(node.outputs->data[0]);
  } else {
    sum_.set_residual(other_addend(node, output_index()));
    redirect_output(node.outputs->data[0]);
  }
  return kTfLiteOk;
}

TfLiteStatus BConv2d::prepare(TfLiteContext* context, TfLiteNode* node) {
  // Only the input and the filter are required: a file may omit the thresholds, or for a packed
  // output the multiplier and the bias.
  KBNN_RETURN_IF_ERROR(check_tensors(context, 5, 2));
  KBNN_RETURN_IF_ERROR(check_shapes(context));
  if (!constants_ready_) {
    KBNN_RETURN_IF_ERROR(pack_constants(context));
    constants_ready_ = true;
  }
  if (zero_padding()) {
    KBNN_EXPECT(context,
                correction_.compute(rows_, columns_, shape_, group_channels_, filter_,
                                    static_cast<const uint32_t*>(input(context, 1).data),
                                    resources_.kernels->channels_per_tile),
                "Out of memory: could not allocate LceBconv2d's padding corrections.");
  }
  // Tiles that write to the same word must belong to one task.
  const int64_t word_tiles = kWordBits / resources_.kernels->channels_per_tile;
  const int64_t splittable_tiles = groups_share_words_ ? 1 : divide_up(filter_.tiles(), word_tiles);
  const int stored_words = resources_.kernels->word_parts * resources_.kernels->word_copies;
  in_place_ = stored_words == 1 && shape_.height == 1 && shape_.width == 1;
  KBNN_EXPECT(context,
              plan_work(rows_, columns_, shape_, stored_words, in_place_, images_,
                        resources_.pool->size(), splittable_tiles, &plan_),
              "Expected LceBconv2d's patches to take at most 1 GiB. Received a filter of %d x %d "
              "on %d channels.",
              static_cast<int>(shape_.height), static_cast<int>(shape_.width), channels_in_);
  layout_ = PatchLayout(rows_, columns_, shape_, stored_words, plan_.block_columns);
  const int64_t sizes[] = {images_, rows_.output, columns_.output,
                           static_cast<int64_t>(output_words())};
  KBNN_RETURN_IF_ERROR(resize(context, "LceBconv2d's output", &output(context), sizes, 4));
  KBNN_RETURN_IF_ERROR(
      sum_.prepare(context, {images_, rows_.output, columns_.output, shape_.channels}));
  return request_scratch(context, node);
}

TfLiteStatus BConv2d::check_shapes(TfLiteContext* context) {
  const TfLiteTensor& in = input(context, 0);
  const TfLiteTensor& filter = input(context, 1);
  KBNN_RETURN_IF_ERROR(check_tensor(context, "LceBconv2d's input", in, 4, kTfLiteInt32));
  KBNN_RETURN_IF_ERROR(check_tensor(context, "LceBconv2d's filter", filter, 4, kTfLiteInt32));
  KBNN_RETURN_IF_ERROR(check_constant(context, "LceBconv2d's filter", filter, sizeof(uint32_t)));
  output_type_ = output(context).type;
  KBNN_EXPECT(
      context,
      output_type_ == kTfLiteFloat32 || output_type_ == kTfLiteInt8 || output_type_ == kTfLiteInt32,
      "Expected LceBconv2d's output to be float32, int8 or int32. Received type %d.",
      static_cast<int>(output_type_));
  for (int axis = 0; axis < 4; ++axis) {
    KBNN_EXPECT(
        context, dimension(filter, axis) > 0 && (axis == 0 || dimension(in, axis) > 0),
        "Expected LceBconv2d's input and filter to have sizes above 0. Received %d and %d along "
        "axis %d.",
        static_cast<int>(dimension(in, axis)), static_cast<int>(dimension(filter, axis)), axis);
  }
  const int64_t words = packed_words(channels_in_);
  KBNN_EXPECT(context, dimension(in, 3) == words,
              "Expected LceBconv2d's input to have %d words for %d channels. Received %d.",
              static_cast<int>(words), channels_in_, static_cast<int>(dimension(in, 3)));
  shape_ = {dimension(filter, 0), dimension(filter, 1), dimension(filter, 2), dimension(filter, 3),
            1};
  KBNN_EXPECT(context, words % shape_.words == 0,
              "Expected the words of LceBconv2d's filter to divide the input's %d. Received %d.",
              static_cast<int>(words), static_cast<int>(shape_.words));
  shape_.groups = words / shape_.words;
  group_channels_ = channels_in_ / shape_.groups;
  KBNN_EXPECT(
      context,
      shape_.groups == 1 ||
          (channels_in_ % shape_.groups == 0 && group_channels_ % kWordBits == 0 &&
           shape_.channels % shape_.groups == 0),
      "Expected LceBconv2d's %d groups to have as many output channels each, and a multiple "
      "of 32 input channels. Received %d output and %d input channels.",
      static_cast<int>(shape_.groups), static_cast<int>(shape_.channels), channels_in_);
  // Cannot overflow: the file holds the filter.
  KBNN_EXPECT(context, shape_.patch_words() <= kMaxProducts / kWordBits,
              "Expected LceBconv2d's filter to have at most 2^28 products. Received %d x %d x %d.",
              static_cast<int>(shape_.height), static_cast<int>(shape_.width),
              static_cast<int>(group_channels_));
  groups_share_words_ = (output_type_ == kTfLiteInt32 || sum_.has_signs()) && shape_.groups > 1 &&
                        shape_.channels_per_group() % 32 != 0;
  images_ = dimension(in, 0);
  rows_.input = dimension(in, 1);
  columns_.input = dimension(in, 2);
  rows_.taps = shape_.height;
  columns_.taps = shape_.width;
  KBNN_EXPECT(
      context, place_windows(padding_, &rows_) && place_windows(padding_, &columns_),
      "Expected LceBconv2d's filter to fit the input. Received %d x %d (dilated %d x %d) in "
      "%d x %d.",
      static_cast<int>(rows_.taps), static_cast<int>(columns_.taps),
      static_cast<int>(rows_.dilation), static_cast<int>(columns_.dilation),
      static_cast<int>(rows_.input), static_cast<int>(columns_.input));
  return kTfLiteOk;
}

TfLiteStatus BConv2d::pack_constants(TfLiteContext* context) {
  const auto* filter = static_cast<const uint32_t*>(input(context, 1).data);
  KBNN_EXPECT(context, filter_.pack(*resources_.kernels, shape_, filter),
              "Out of memory: could not allocate LceBconv2d's filters.");
  if (output_type_ == kTfLiteInt32) {
    KBNN_RETURN_IF_ERROR(check_input(context, 4));
    return transform_.set_thresholds(context, input(context, 4), filter_, shape_.channels,
                                     shape_.patch_words() * kWordBits);
  }
  KBNN_RETURN_IF_ERROR(check_input(context, 2));
  KBNN_RETURN_IF_ERROR(check_input(context, 3));
  return transform_.set_multiplier_and_bias(context, input(context, 2), input(context, 3),
                                            output(context), filter_, shape_.channels, activation_,
                                            products());
}

TfLiteStatus BConv2d::request_scratch(TfLiteContext* context, TfLiteNode* node) {
  if (scratch_index_ < 0) {
    KBNN_EXPECT(context, context->AddTensors(context, 1, &scratch_index_) == kTfLiteOk,
                "Out of memory: could not add a temporary tensor for LceBconv2d.");
    TfLiteIntArray* temporaries = new_int_array(context, 1);
    KBNN_EXPECT(context, temporaries != nullptr,
                "Out of memory: could not allocate LceBconv2d's list of temporary tensors.");
    temporaries->data[0] = scratch_index_;
    free_int_array(context, node->temporaries);
    node->temporaries = temporaries;
  }
  TfLiteTensor* scratch = tensor_at(context, scratch_index_);
  scratch->type = kTfLiteUInt8;
  scratch->allocation_type = kTfLiteArenaRw;
  const int64_t size = static_cast<int64_t>(worker_bytes()) * resources_.pool->size();
  return resize(context, "LceBconv2d's temporary tensor", scratch, &size, 1);
}

TfLiteStatus BConv2d::invoke(TfLiteContext* context) {
  const TfLiteTensor& in = input(context, 0);
  const TfLiteTensor& out = output(context);
  const TfLiteTensor& scratch = *tensor_at(context, scratch_index_);
  KBNN_RETURN_IF_ERROR(check_memory(
      context, "LceBconv2d's input", in,
      static_cast<size_t>(images_ * rows_.input * columns_.input * shape_.words * shape_.groups),
      sizeof(uint32_t)));
  KBNN_RETURN_IF_ERROR(
      check_memory(context, "LceBconv2d's output", out,
                   static_cast<size_t>(images_ * rows_.output * columns_.output) * output_words(),
                   output_bytes()));
  KBNN_RETURN_IF_ERROR(check_memory(context, "LceBconv2d's temporary tensor", scratch,
                                    worker_bytes() * static_cast<size_t>(resources_.pool->size()),
                                    1));
  Run run{this,
          static_cast<const uint32_t*>(in.data),
          static_cast<uint8_t*>(out.data),
          static_cast<uint8_t*>(scratch.data),
          {}};
  KBNN_RETURN_IF_ERROR(sum_.start_run(context, &run.sum));
  resources_.pool->run(
      static_cast<size_t>(plan_.task_count(images_)),
      [](void* argument, size_t index, int worker) {
        const Run& run = *static_cast<const Run*>(argument);
        run.self->compute_task(run, index, worker);
      },
      &run);
  return kTfLiteOk;
}

// Copies the patches of one block, then computes all or a part of its tiles.
void BConv2d::compute_task(const Run& run, size_t index, int worker) const {
  int64_t rest = static_cast<int64_t>(index);
  const int64_t part = rest % plan_.channel_parts;
  rest /= plan_.channel_parts;
  const int64_t x = rest % plan_.blocks_across * plan_.block_columns;
  rest /= plan_.blocks_across;
  const int64_t y = rest % plan_.blocks_down * plan_.block_rows;
  const int64_t image = rest / plan_.blocks_down;
  const int64_t rows_left = rows_.output - y;
  const int64_t columns_left = columns_.output - x;
  const int64_t height = rows_left < plan_.block_rows ? rows_left : plan_.block_rows;
  const int64_t width = columns_left < plan_.block_columns ? columns_left : plan_.block_columns;

  uint8_t* scratch = run.scratch + static_cast<size_t>(worker) * worker_bytes();
  auto* patch_offsets = reinterpret_cast<size_t*>(scratch);
  auto* correction_offsets = reinterpret_cast<size_t*>(scratch + offset_bytes());
  auto* patches = reinterpret_cast<uint32_t*>(scratch + 2 * offset_bytes());
  const size_t pixel_words = static_cast<size_t>(shape_.words * shape_.groups);
  const uint32_t* input =
      run.input + static_cast<size_t>(image * rows_.input * columns_.input) * pixel_words;
  size_t position = 0;
  for (int64_t row = 0; row < height; ++row) {
    if (!in_place_) {
      layout_.copy_row(*resources_.kernels, input, y + row, x, width,
                       patches + static_cast<size_t>(row) * layout_.row_step());
    }
    const size_t row_correction = zero_padding() ? correction_.row_offset(y + row) : 0;
    for (int64_t column = 0; column < width; ++column, ++position) {
      patch_offsets[position] =
          in_place_ ? static_cast<size_t>(rows_.start(y + row) * columns_.input +
                                          columns_.start(x + column)) *
                          pixel_words
                    : static_cast<size_t>(row) * layout_.row_step() + layout_.patch_offset(column);
      if (zero_padding()) {
        correction_offsets[position] = row_correction + correction_.column_offset(x + column);
      }
    }
  }

  Tile tile = {};
  tile.patches = in_place_ ? input : patches;
  tile.patch_offsets = patch_offsets;
  tile.positions = position;
  tile.correction_offsets = zero_padding() ? correction_offsets : nullptr;
  tile.words = filter_.words();
  tile.output_step = output_words();
  const int64_t first_pixel = (image * rows_.output + y) * columns_.output + x;
  uint8_t* output = run.output + static_cast<size_t>(first_pixel) * output_words() * output_bytes();
  tile.output = output;
  sum_.set_tile(run.sum, image, y * columns_.output + x, &tile);
  if (groups_share_words_) {
    std::memset(sum_.has_signs() ? static_cast<void*>(tile.signs) : tile.output, 0,
                position * position_bytes());
  }

  const int64_t word_tiles = kWordBits / resources_.kernels->channels_per_tile;
  const int64_t words = divide_up(filter_.tiles(), word_tiles);
  const int64_t begin = words * part / plan_.channel_parts * word_tiles;
  const int64_t end = words * (part + 1) / plan_.channel_parts * word_tiles;
  for (int64_t i = begin; i < end && i < filter_.tiles(); ++i) compute_tile(i, tile);
}

void BConv2d::compute_tile(int64_t index, Tile tile) const {
  const Kernels& kernels = *resources_.kernels;
  const size_t slot = static_cast<size_t>(index * kernels.channels_per_tile);
  const size_t channel = static_cast<size_t>(filter_.first_channel(index));
  const size_t group = static_cast<size_t>(index / filter_.tiles_per_group());
  tile.patches += group * (in_place_ ? static_cast<size_t>(shape_.words) : layout_.group_step());
  tile.weights = filter_.weights(index);
  tile.channels = filter_.tile_channels(index);
  if (zero_padding()) tile.corrections = correction_.tile(index);
  transform_.set_tile(slot, &tile);
  tile.first_bit = channel;
  if (!groups_share_words_) {
    // The last tile writes up to the end of the word.
    const bool last = index + 1 == filter_.tiles();
    const size_t tile_bytes = static_cast<size_t>(kernels.channels_per_tile) / 8;
    tile.packed_bytes = last ? position_bytes() - channel / 8 : tile_bytes;
  }
  if (output_type_ == kTfLiteInt32) {
    kernels.tile_packed(tile);
    return;
  }
  tile.output = static_cast<uint8_t*>(tile.output) + channel * output_bytes();
  if (sum_.has_residual()) {
    tile.residual += channel;
    kernels.tile_sum(tile);
    return;
  }
  (output_type_ == kTfLiteInt8 ? kernels.tile_int8 : kernels.tile_float)(tile);
}

}  // namespace

Operator* new_bconv2d(const Resources& resources) { return new BConv2d(resources); }

}  // namespace kbnn
