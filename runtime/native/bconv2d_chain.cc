#include "bconv2d_chain.h"

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

// As far as the file says, ADD repeats neither: sizes are equal, and free ones are the images'
// alone, of both or of none.
bool same_shape(const TfLiteTensor& a, const TfLiteTensor& b) {
  for (int axis = 0; axis < 4; ++axis) {
    if (dimension(a, axis) != dimension(b, axis) || is_free(a, axis) != is_free(b, axis) ||
        (axis > 0 && is_free(a, axis))) {
      return false;
    }
  }
  return true;
}

// A sum of two tensors of one shape, `addend` and another, without activation.
bool adds(TfLiteContext* context, const NodeView& view, int addend) {
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

bool takes_signs(TfLiteContext* context, const NodeView& view, int values) {
  const TfLiteTensor* words = tensor_at(context, view.only_output());
  return view.registration->custom_name != nullptr &&
         std::strcmp(view.registration->custom_name, "LceQuantize") == 0 &&
         view.node->delegate == nullptr && view.node->inputs != nullptr &&
         view.node->inputs->size == 1 && view.reads(values) && words != nullptr &&
         words->type == kTfLiteInt32;
}

// Whether the interpreter would replace the chain by one node, of which others read exactly these
// tensors (-1: none). It alone knows the model's outputs.
bool is_closed(TfLiteContext* context, const Bconv2dChain& chain, int first_output,
               int second_output) {
  TfLiteDelegateParams* partitions = nullptr;
  int count = 0;
  if (context->PreviewDelegatePartitioning == nullptr ||
      context->PreviewDelegatePartitioning(context, chain.as_array(), &partitions, &count) !=
          kTfLiteOk ||
      count != 1) {
    return false;
  }
  const TfLiteIntArray* outputs = partitions[0].output_tensors;
  return outputs != nullptr && outputs->size == (second_output < 0 ? 1 : 2) &&
         contains(outputs, first_output) && (second_output < 0 || contains(outputs, second_output));
}

// The first node of plan[first ..] that reads the tensor, or count.
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

TfLiteStatus find_bconv2d_chain(TfLiteContext* context, const int* plan, size_t count, size_t first,
                                Bconv2dChain* chain) {
  *chain = {1, {plan[first], 0, 0}};
  NodeView view;
  KBNN_RETURN_IF_ERROR(view.read(context, plan[first]));
  const int convolved = view.only_output();
  if (tensor_at(context, convolved) == nullptr) return kTfLiteOk;

  size_t add;
  KBNN_RETURN_IF_ERROR(find_reader(context, plan, count, first + 1, convolved, &add, &view));
  if (add == count || !adds(context, view, convolved)) return kTfLiteOk;
  const int sum = view.only_output();
  const Bconv2dChain with_sum = {2, {plan[first], plan[add], 0}};
  if (!is_closed(context, with_sum, sum, -1)) return kTfLiteOk;
  *chain = with_sum;

  // The sum has other readers too; were there none, it would have no memory, and signs stay apart.
  size_t quantize = add;
  do {
    KBNN_RETURN_IF_ERROR(find_reader(context, plan, count, quantize + 1, sum, &quantize, &view));
    if (quantize == count) return kTfLiteOk;
  } while (!takes_signs(context, view, sum));
  const Bconv2dChain with_signs = {3, {plan[first], plan[add], plan[quantize]}};
  if (is_closed(context, with_signs, sum, view.only_output())) *chain = with_signs;
  return kTfLiteOk;
}

int other_addend(const TfLiteNode& add, int other) {
  if (add.inputs == nullptr || add.inputs->size != 2) return -1;
  const int first = add.inputs->data[0];
  const int second = add.inputs->data[1];
  if (first == other && second == other) return -1;
  return first == other ? second : first;
}

}  // namespace kbnn
