// As much of an interpreter as the delegate sees: tensors, one node, and memory to the byte, so
// that a sanitizer notices whatever goes beyond it.
#ifndef KBNN_FAKE_INTERPRETER_H_
#define KBNN_FAKE_INTERPRETER_H_

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <string>
#include <vector>

#include "tflite_abi.h"

extern "C" TfLiteDelegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count,
                                                         void (*report_error)(const char*));
extern "C" void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate);

namespace kbnn {

class FakeInterpreter {
 public:
  explicit FakeInterpreter(const std::string& operator_name) : name_(operator_name) {
    memset(&context_, 0, sizeof(context_));
    memset(&node_, 0, sizeof(node_));
    memset(&registration_, 0, sizeof(registration_));
    memset(&delegate_node_, 0, sizeof(delegate_node_));
    memset(&delegate_registration_, 0, sizeof(delegate_registration_));
    context_.impl_ = this;
    context_.GetExecutionPlan = get_execution_plan;
    context_.ResizeTensor = resize_tensor;
    context_.ReportError = report_error;
    context_.AddTensors = add_tensors;
    context_.GetNodeAndRegistration = get_node;
    context_.ReplaceNodeSubsetsWithDelegateKernels = replace_nodes;
    registration_.custom_name = name_.c_str();
    plan_ = make_array({0});
  }

  ~FakeInterpreter() {
    if (delegate_registration_.free != nullptr) {
      delegate_registration_.free(&context_, delegate_node_.user_data);
    }
    for (TfLiteTensor& tensor : tensors_) {
      free(tensor.dims);
      free(tensor.data);
    }
    for (TfLiteIntArray* array : {plan_, node_.inputs, node_.outputs, delegate_node_.temporaries}) {
      free(array);
    }
  }

  // A tensor of this type and shape; with values it is a constant of exactly so many bytes.
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

  void set_node(const std::vector<int>& inputs, const std::vector<int>& outputs,
                const std::vector<uint8_t>& options) {
    node_.inputs = make_array(inputs);
    node_.outputs = make_array(outputs);
    options_ = options;
    node_.custom_initial_data = options_.data();
    node_.custom_initial_data_size = static_cast<int>(options_.size());
  }

  bool apply(TfLiteDelegate* delegate) {
    return delegate->Prepare(&context_, delegate) == kTfLiteOk;
  }

  void resize(int tensor, const std::vector<int>& shape) {
    free(tensors_[static_cast<size_t>(tensor)].dims);
    tensors_[static_cast<size_t>(tensor)].dims = make_array(shape);
  }

  bool prepare() { return delegate_registration_.prepare(&context_, &delegate_node_) == kTfLiteOk; }

  // Memory for every tensor that is no constant; false where it is more than `limit` bytes.
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

  bool invoke() { return delegate_registration_.invoke(&context_, &delegate_node_) == kTfLiteOk; }

  const TfLiteTensor& tensor(int index) const { return tensors_[static_cast<size_t>(index)]; }

 private:
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

  // Formats, that a message with wrong arguments is noticed.
  static void report_error(TfLiteContext*, const char* format, ...) {
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
  }

  // Moves all tensors, as the interpreter may.
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
    if (index != 0) return kTfLiteError;
    *node = &self(context)->node_;
    *registration = &self(context)->registration_;
    return kTfLiteOk;
  }

  static TfLiteStatus replace_nodes(TfLiteContext* context, TfLiteRegistration registration,
                                    const TfLiteIntArray* nodes, TfLiteDelegate* delegate) {
    FakeInterpreter* interpreter = self(context);
    TfLiteIntArray* copy = make_array({nodes->data[0]});
    TfLiteDelegateParams params = {delegate, copy, nullptr, nullptr};
    interpreter->delegate_registration_ = registration;
    interpreter->delegate_node_.temporaries = make_array({});
    interpreter->delegate_node_.user_data =
        registration.init(context, reinterpret_cast<const char*>(&params), 0);
    free(copy);
    return kTfLiteOk;
  }

  std::string name_;
  std::vector<uint8_t> options_;
  std::vector<TfLiteTensor> tensors_;
  TfLiteContext context_;
  TfLiteNode node_;
  TfLiteRegistration registration_;
  TfLiteNode delegate_node_;
  TfLiteRegistration delegate_registration_;
  TfLiteIntArray* plan_;
};

}  // namespace kbnn

#endif  // KBNN_FAKE_INTERPRETER_H_
