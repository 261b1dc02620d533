// An operator of a model that the delegate has taken over.
#ifndef KBNN_OPERATOR_H_
#define KBNN_OPERATOR_H_

#include "buffer.h"
#include "checks.h"
#include "flexbuffer.h"
#include "kernels.h"
#include "thread_pool.h"
#include "tflite_abi.h"

namespace kbnn {

// What the operators of one delegate share.
struct Resources {
  const Kernels* kernels;
  ThreadPool* pool;
};

class Operator {
 public:
  explicit Operator(const Resources& resources) : resources_(resources) {}
  virtual ~Operator() = default;

  // Takes over the tensors of `node`, the operator's own node in the model, and reads its options.
  // The node that the interpreter makes for a delegate lists each tensor once and in another order.
  TfLiteStatus take_over(TfLiteContext* context, const TfLiteNode& node);

  // Takes over a node that reads what the node before it gave and is computed with it.
  virtual TfLiteStatus take_over_next(TfLiteContext* context, const TfLiteNode& node);

  // `read`: the tensors that other nodes or the model's user read. The interpreter gives an output
  // memory only where it is one of them.
  void take_readers(const TfLiteIntArray* read) { has_readers_ = contains(read, output_index()); }
  bool has_readers() const { return has_readers_; }

  // Once before the first run and after each change of shapes: checks, resizes the outputs. `node`
  // is the delegate's, where temporary tensors are listed.
  virtual TfLiteStatus prepare(TfLiteContext* context, TfLiteNode* node) = 0;

  // Allocates nothing. Called only where the output has readers.
  virtual TfLiteStatus invoke(TfLiteContext* context) = 0;

 protected:
  virtual TfLiteStatus read_options(TfLiteContext* context, const FlexbufferMap& options) = 0;

  // Reads an option that must lie in minimum .. maximum.
  TfLiteStatus read_option(TfLiteContext* context, const FlexbufferMap& options, const char* name,
                           int32_t minimum, int32_t maximum, int32_t* value) const;

  // An error unless there are so many inputs and one output, and the output and the first
  // `required` inputs are tensors of the model. Others may be left out: their index is -1.
  TfLiteStatus check_tensors(TfLiteContext* context, size_t inputs, size_t required) const;
  TfLiteStatus check_input(TfLiteContext* context, size_t i) const;
  TfLiteTensor& input(TfLiteContext* context, size_t i) const {
    return *tensor_at(context, inputs_[i]);
  }
  TfLiteTensor& output(TfLiteContext* context) const { return *tensor_at(context, outputs_[0]); }
  // -1 where the node has none.
  int output_index() const { return outputs_.size() > 0 ? outputs_[0] : -1; }
  // Gives its output as another tensor: that of a node which is computed with it.
  void redirect_output(int tensor) { outputs_[0] = tensor; }

  virtual const char* name() const = 0;

  const Resources resources_;

 private:
  Buffer<int> inputs_;
  Buffer<int> outputs_;
  bool has_readers_ = true;
};

// Null where there is no memory.
Operator* new_quantize(const Resources& resources);
Operator* new_dequantize(const Resources& resources);
Operator* new_bmaxpool(const Resources& resources);
Operator* new_bconv2d(const Resources& resources);

}  // namespace kbnn

#endif  // KBNN_OPERATOR_H_
