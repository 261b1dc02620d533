#include "operator.h"

#include <cstdlib>

// The entry for pure virtual functions in the table of Operator. It is never called, and defining
// it spares linking the C++ library.
extern "C" void __cxa_pure_virtual() { std::abort(); }

namespace kbnn {
namespace {

bool copy_indices(const TfLiteIntArray* from, Buffer<int>* to) {
  const size_t count = from == nullptr ? 0 : static_cast<size_t>(from->size);
  if (!to->allocate(count)) return false;
  for (size_t i = 0; i < count; ++i) (*to)[i] = from->data[i];
  return true;
}

}  // namespace

TfLiteStatus Operator::take_over(TfLiteContext* context, const TfLiteNode& node) {
  KBNN_EXPECT(context, copy_indices(node.inputs, &inputs_) && copy_indices(node.outputs, &outputs_),
              "Out of memory: could not allocate the list of tensors of %s.", name());
  const size_t size =
      node.custom_initial_data_size > 0 ? static_cast<size_t>(node.custom_initial_data_size) : 0;
  return read_options(context, FlexbufferMap(node.custom_initial_data, size));
}

TfLiteStatus Operator::fuse_next(TfLiteContext* context, const TfLiteNode&) {
  KBNN_EXPECT(context, false, "Expected %s not to be fused with another node. Received one.",
              name());
  return kTfLiteOk;
}

TfLiteStatus Operator::read_option(TfLiteContext* context, const FlexbufferMap& options,
                                   const char* option, int32_t minimum, int32_t maximum,
                                   int32_t* value) const {
  KBNN_EXPECT(context, options.read_int32(option, value),
              "Expected %s to have the integer option %s. Received none.", name(), option);
  KBNN_EXPECT(context, *value >= minimum && *value <= maximum,
              "Expected %s to have %s from %d to %d. Received %d.", name(), option, minimum,
              maximum, *value);
  return kTfLiteOk;
}

TfLiteStatus Operator::check_tensors(TfLiteContext* context, size_t inputs, size_t required) const {
  KBNN_EXPECT(context, inputs_.size() == inputs && outputs_.size() == 1,
              "Expected %s to have %d inputs and 1 output. Received %d and %d.", name(),
              static_cast<int>(inputs), static_cast<int>(inputs_.size()),
              static_cast<int>(outputs_.size()));
  for (size_t i = 0; i < required; ++i) KBNN_RETURN_IF_ERROR(check_input(context, i));
  KBNN_EXPECT(context, tensor_at(context, outputs_[0]) != nullptr,
              "Expected the output of %s to be a tensor of the model. Received index %d.", name(),
              outputs_[0]);
  return kTfLiteOk;
}

TfLiteStatus Operator::check_input(TfLiteContext* context, size_t i) const {
  KBNN_EXPECT(context, tensor_at(context, inputs_[i]) != nullptr,
              "Expected input %d of %s to be a tensor of the model. Received index %d.",
              static_cast<int>(i), name(), inputs_[i]);
  return kTfLiteOk;
}

}  // namespace kbnn
