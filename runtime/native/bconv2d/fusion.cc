#include "bconv2d/fusion.h"

#include <cstring>

namespace kbnn {
namespace {

struct NodeView {
  TfLiteNode* node = nullptr;
  TfLiteRegistration* registration = nullptr;

  TfLiteStatus read(TfLiteContext* context, int index) {
    return context->GetNodeAndRegistration(context, index, &node, &registration);
  }
  bool reads(int tensor) const { return contains(node->inputs, tensor); }
  int only_output() const {
    return node->outputs != nullptr && node->outputs->size == 1 ? node->outputs->data[0] : -1;
  }
};

bool is_image_tensor(const TfLiteTensor* tensor) {
  return tensor != nullptr && tensor->type == kTfLiteFloat32 && rank(*tensor) == 4;
}

bool is_free(const TfLiteTensor& tensor, int axis) {
  const TfLiteIntArray* signature = tensor.dims_signature;
  return signature != nullptr && signature->size == 4 && signature->data[axis] < 0;
}

// Whether ADD broadcasts neither addend, as far as the file shows: all sizes are equal, and only
// the number of images may be free, in both or in neither.
bool same_shape(const TfLiteTensor& a, const TfLiteTensor& b) {
  for (int axis = 0; axis < 4; ++axis) {
    if (dimension(a, axis) != dimension(b, axis) || is_free(a, axis) != is_free(b, axis) ||
        (axis > 0 && is_free(a, axis))) {
      return false;
    }
  }
  return true;
}

// Whether the node adds `addend` and another tensor of the same shape, without activation.
bool is_residual_add(TfLiteContext* context, const NodeView& view, int addend) {
  const bool is_add = view.registration->custom_name == nullptr &&
                      view.registration->builtin_code == kTfLiteBuiltinAdd &&
                      view.node->builtin_data != nullptr && view.node->delegate == nullptr;
  if (!is_add || !view.reads(addend)) return false;
  const auto& params = *static_cast<const TfLiteAddParams*>(view.node->builtin_data);
  const TfLiteTensor* one = tensor_at(context, addend);
  const TfLiteTensor* other = tensor_at(context, other_addend(*view.node, addend));
  const TfLiteTensor* sum = tensor_at(context, view.only_output());
  return params.activation == kTfLiteActNone && is_image_tensor(one) && is_image_tensor(other) &&
         is_image_tensor(sum) && same_shape(*one, *other);
}

// Whether the node is an LceQuantize of `values`.
bool is_quantize_of(TfLiteContext* context, const NodeView& view, int values) {
  const TfLiteTensor* words = tensor_at(context, view.only_output());
  return view.registration->custom_name != nullptr &&
         std::strcmp(view.registration->custom_name, "LceQuantize") == 0 &&
         view.node->delegate == nullptr && view.node->inputs != nullptr &&
         view.node->inputs->size == 1 && view.reads(values) && words != nullptr &&
         words->type == kTfLiteInt32;
}

// Whether the interpreter would replace the nodes by a single one, of which other nodes and the
// user read exactly these outputs (-1: none). Only the interpreter knows which tensors the user
// reads.
bool can_fuse(TfLiteContext* context, const Fusion& fusion, int first_output, int second_output) {
  TfLiteDelegateParams* partitions = nullptr;
  int count = 0;
  if (context->PreviewDelegatePartitioning == nullptr ||
      context->PreviewDelegatePartitioning(context, fusion.as_array(), &partitions, &count) !=
          kTfLiteOk ||
      count != 1) {
    return false;
  }
  const TfLiteIntArray* outputs = partitions[0].output_tensors;
  return outputs != nullptr && outputs->size == (second_output < 0 ? 1 : 2) &&
         contains(outputs, first_output) && (second_output < 0 || contains(outputs, second_output));
}

// Finds the first node of plan[first ..] that reads the tensor; `count` if there is none.
TfLiteStatus find_reader(TfLiteContext* context, const int* plan, size_t count, size_t first,
                         int tensor, size_t* found, NodeView* view) {
  for (*found = first; *found < count; ++*found) {
    if (plan[*found] < 0) continue;
    KBNN_RETURN_IF_ERROR(view->read(context, plan[*found]));
    if (view->reads(tensor)) return kTfLiteOk;
  }
  return kTfLiteOk;
}

}  // namespace

TfLiteStatus find_fusion(TfLiteContext* context, const int* plan, size_t count, size_t first,
                         Fusion* fusion) {
  *fusion = {1, {plan[first], 0, 0}};
  NodeView view;
  KBNN_RETURN_IF_ERROR(view.read(context, plan[first]));
  const int convolved = view.only_output();
  if (tensor_at(context, convolved) == nullptr) return kTfLiteOk;

  size_t add;
  KBNN_RETURN_IF_ERROR(find_reader(context, plan, count, first + 1, convolved, &add, &view));
  if (add == count || !is_residual_add(context, view, convolved)) return kTfLiteOk;
  const int sum = view.only_output();
  const Fusion with_sum = {2, {plan[first], plan[add], 0}};
  if (!can_fuse(context, with_sum, sum, -1)) return kTfLiteOk;
  *fusion = with_sum;

  // LceQuantize is fused only if the sum has other readers too: a sum that nobody else reads gets
  // no memory from the interpreter.
  size_t quantize = add;
  do {
    KBNN_RETURN_IF_ERROR(find_reader(context, plan, count, quantize + 1, sum, &quantize, &view));
    if (quantize == count) return kTfLiteOk;
  } while (!is_quantize_of(context, view, sum));
  const Fusion with_signs = {3, {plan[first], plan[add], plan[quantize]}};
  if (can_fuse(context, with_signs, sum, view.only_output())) *fusion = with_signs;
  return kTfLiteOk;
}

int other_addend(const TfLiteNode& add, int addend) {
  if (add.inputs == nullptr || add.inputs->size != 2) return -1;
  const int first = add.inputs->data[0];
  const int second = add.inputs->data[1];
  if (first == addend && second == addend) return -1;
  return first == addend ? second : first;
}

}  // namespace kbnn
