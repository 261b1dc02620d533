// The part of an interpreter that the delegate sees: tensors, a few nodes, and buffers of the exact
// size, so that a sanitizer notices every access beyond them. It runs only the delegate's nodes.
#ifndef KBNN_FAKE_INTERPRETER_H_
#define KBNN_FAKE_INTERPRETER_H_

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <memory>
#include <string>
#include <vector>

#include "tflite_abi.h"

extern "C" TfLiteDelegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count,
                                                         void (*report_error)(const char*));
extern "C" void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate);

namespace kbnn {

class FakeInterpreter {
 public:
  FakeInterpreter() {
    memset(&context_, 0, sizeof(context_));
    context_.impl_ = this;
    context_.GetExecutionPlan = get_execution_plan;
    context_.ResizeTensor = resize_tensor;
    context_.ReportError = report_error;
    context_.AddTensors = add_tensors;
    context_.GetNodeAndRegistration = get_node;
    context_.ReplaceNodeSubsetsWithDelegateKernels = replace_nodes;
    context_.PreviewDelegatePartitioning = preview;
  }

  ~FakeInterpreter() {
    for (DelegateNode& given : delegate_nodes_) {
      given.registration.free(&context_, given.node.user_data);
      free(given.node.temporaries);
    }
    for (TfLiteTensor& tensor : tensors_) {
      free(tensor.dims);
      free(tensor.data);
    }
    for (const std::unique_ptr<Node>& node : nodes_) {
      free(node->node.inputs);
      free(node->node.outputs);
    }
    free(plan_);
    free(partition_.output_tensors);
  }

  // Adds a tensor of this type and shape. With `values` it is a constant of exactly those bytes.
  int add_tensor(TfLiteType type, const std::vector<int>& shape, float scale, int zero_point,
                 const std::vector<uint8_t>* values) {
    TfLiteTensor tensor;
    memset(&tensor, 0, sizeof(tensor));
    tensor.type = type;
    tensor.dims = make_array(shape);
    tensor.params = {scale, zero_point};
    tensor.quantization.type = scale != 0 ? kTfLiteAffineQuantization : kTfLiteNoQuantization;
    tensor.allocation_type = kTfLiteArenaRw;
    if (values != nullptr) {
      tensor.allocation_type = kTfLiteMmapRo;
      tensor.bytes = values->size();
      tensor.data = malloc(values->size());
      if (!values->empty()) memcpy(tensor.data, values->data(), values->size());
    }
    tensors_.push_back(tensor);
    publish();
    return static_cast<int>(tensors_.size()) - 1;
  }

  // Adds a node of one of LCE's operators.
  void add_node(const std::string& name, const std::vector<int>& inputs,
                const std::vector<int>& outputs, const std::vector<uint8_t>& options) {
    Node& node = new_node(inputs, outputs);
    node.name = name;
    node.options = options;
    node.registration.builtin_code = 32;
    node.registration.custom_name = node.name.c_str();
    node.node.custom_initial_data = node.options.data();
    node.node.custom_initial_data_size = static_cast<int>(node.options.size());
  }

  // Adds an ADD.
  void add_sum(const std::vector<int>& inputs, int output, int activation) {
    Node& node = new_node(inputs, {output});
    node.registration.builtin_code = kTfLiteBuiltinAdd;
    node.sum.activation = static_cast<TfLiteFusedActivation>(activation);
    node.node.builtin_data = &node.sum;
  }

  void set_outputs(const std::vector<int>& tensors) { outputs_ = tensors; }

  bool apply(TfLiteDelegate* delegate) {
    std::vector<int> plan;
    for (size_t i = 0; i < nodes_.size(); ++i) plan.push_back(static_cast<int>(i));
    plan_ = make_array(plan);
    return delegate->Prepare(&context_, delegate) == kTfLiteOk;
  }

  void resize(int tensor, const std::vector<int>& shape) {
    free(tensors_[static_cast<size_t>(tensor)].dims);
    tensors_[static_cast<size_t>(tensor)].dims = make_array(shape);
  }

  bool prepare() {
    for (DelegateNode& given : delegate_nodes_) {
      if (given.registration.prepare(&context_, &given.node) != kTfLiteOk) return false;
    }
    return true;
  }

  // Allocates every tensor that is not a constant. False if one takes more than `limit` bytes.
  bool allocate(size_t limit) {
    for (TfLiteTensor& tensor : tensors_) {
      if (tensor.allocation_type == kTfLiteMmapRo) continue;
      size_t bytes = tensor.type == kTfLiteFloat32 || tensor.type == kTfLiteInt32 ? 4 : 1;
      for (int i = 0; i < tensor.dims->size; ++i) {
        const int size = tensor.dims->data[i];
        if (size < 0 || __builtin_mul_overflow(bytes, static_cast<size_t>(size), &bytes))
          return false;
      }
      if (bytes > limit) return false;
      free(tensor.data);
      tensor.data = nullptr;
      if (bytes > 0 && posix_memalign(&tensor.data, 64, bytes) != 0) return false;
      if (bytes > 0) memset(tensor.data, 0x5a, bytes);
      tensor.bytes = bytes;
    }
    return true;
  }

  bool invoke() {
    for (DelegateNode& given : delegate_nodes_) {
      if (given.registration.invoke(&context_, &given.node) != kTfLiteOk) return false;
    }
    return true;
  }

  const TfLiteTensor& tensor(int index) const { return tensors_[static_cast<size_t>(index)]; }

 private:
  struct Node {
    std::string name;
    std::vector<uint8_t> options;
    TfLiteAddParams sum;
    TfLiteNode node;
    TfLiteRegistration registration;
  };
  struct DelegateNode {
    TfLiteNode node;
    TfLiteRegistration registration;
  };

  Node& new_node(const std::vector<int>& inputs, const std::vector<int>& outputs) {
    nodes_.push_back(std::make_unique<Node>());
    Node& node = *nodes_.back();
    node.node.inputs = make_array(inputs);
    node.node.outputs = make_array(outputs);
    return node;
  }

  static FakeInterpreter* self(TfLiteContext* context) {
    return static_cast<FakeInterpreter*>(context->impl_);
  }

  static TfLiteIntArray* make_array(const std::vector<int>& values) {
    auto* array = static_cast<TfLiteIntArray*>(malloc(sizeof(int) * (values.size() + 1)));
    array->size = static_cast<int>(values.size());
    if (!values.empty()) memcpy(array->data, values.data(), sizeof(int) * values.size());
    return array;
  }

  void publish() {
    context_.tensors = tensors_.data();
    context_.tensors_size = tensors_.size();
  }

  static TfLiteStatus get_execution_plan(TfLiteContext* context, TfLiteIntArray** plan) {
    *plan = self(context)->plan_;
    return kTfLiteOk;
  }

  static TfLiteStatus resize_tensor(TfLiteContext*, TfLiteTensor* tensor, TfLiteIntArray* size) {
    free(tensor->dims);
    tensor->dims = size;
    return kTfLiteOk;
  }

  // Formats the message, so that a sanitizer notices wrong arguments.
  static void report_error(TfLiteContext*, const char* format, ...) {
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
  }

  // Moves all tensors in memory, as an interpreter may.
  static TfLiteStatus add_tensors(TfLiteContext* context, int count, int* first) {
    FakeInterpreter* interpreter = self(context);
    *first = static_cast<int>(interpreter->tensors_.size());
    std::vector<TfLiteTensor> moved(interpreter->tensors_);
    for (int i = 0; i < count; ++i) {
      TfLiteTensor tensor;
      memset(&tensor, 0, sizeof(tensor));
      tensor.dims = make_array({});
      moved.push_back(tensor);
    }
    moved.shrink_to_fit();
    interpreter->tensors_.swap(moved);
    interpreter->publish();
    return kTfLiteOk;
  }

  static TfLiteStatus get_node(TfLiteContext* context, int index, TfLiteNode** node,
                               TfLiteRegistration** registration) {
    const auto& nodes = self(context)->nodes_;
    if (index < 0 || static_cast<size_t>(index) >= nodes.size()) return kTfLiteError;
    *node = &nodes[static_cast<size_t>(index)]->node;
    *registration = &nodes[static_cast<size_t>(index)]->registration;
    return kTfLiteOk;
  }

  static TfLiteStatus replace_nodes(TfLiteContext* context, TfLiteRegistration registration,
                                    const TfLiteIntArray* nodes, TfLiteDelegate* delegate) {
    FakeInterpreter* interpreter = self(context);
    TfLiteIntArray* copy = make_array(std::vector<int>(nodes->data, nodes->data + nodes->size));
    TfLiteDelegateParams* partition = nullptr;
    int count = 0;
    preview(context, nodes, &partition, &count);
    TfLiteDelegateParams params = {delegate, copy, nullptr, partition->output_tensors};
    DelegateNode given = {};
    given.registration = registration;
    given.node.temporaries = make_array({});
    given.node.user_data = registration.init(context, reinterpret_cast<const char*>(&params), 0);
    interpreter->delegate_nodes_.push_back(given);
    free(copy);
    return kTfLiteOk;
  }

  // Always answers with one partition.
  static TfLiteStatus preview(TfLiteContext* context, const TfLiteIntArray* nodes,
                              TfLiteDelegateParams** partitions, int* count) {
    FakeInterpreter* interpreter = self(context);
    std::vector<bool> chosen(interpreter->nodes_.size());
    for (int i = 0; i < nodes->size; ++i) chosen[static_cast<size_t>(nodes->data[i])] = true;
    std::vector<int> outputs;
    for (int i = 0; i < nodes->size; ++i) {
      const TfLiteIntArray* given =
          interpreter->nodes_[static_cast<size_t>(nodes->data[i])]->node.outputs;
      for (int k = 0; k < given->size; ++k) {
        if (interpreter->is_read(given->data[k], chosen)) outputs.push_back(given->data[k]);
      }
    }
    free(interpreter->partition_.output_tensors);
    interpreter->partition_.output_tensors = make_array(outputs);
    *partitions = &interpreter->partition_;
    *count = 1;
    return kTfLiteOk;
  }

  // Whether the tensor is the model's output, or read by a node that was not chosen.
  bool is_read(int tensor, const std::vector<bool>& chosen) const {
    for (int output : outputs_) {
      if (output == tensor) return true;
    }
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const TfLiteIntArray* inputs = nodes_[i]->node.inputs;
      for (int k = 0; k < inputs->size && !chosen[i]; ++k) {
        if (inputs->data[k] == tensor) return true;
      }
    }
    return false;
  }

  std::vector<TfLiteTensor> tensors_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<DelegateNode> delegate_nodes_;
  std::vector<int> outputs_;
  TfLiteContext context_;
  TfLiteDelegateParams partition_ = {};
  TfLiteIntArray* plan_ = nullptr;
};

}  // namespace kbnn

#endif  // KBNN_FAKE_INTERPRETER_H_
