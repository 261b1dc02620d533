// An operator of a model that the delegate has taken over.
#ifndef KBNN_OPERATOR_H_
#define KBNN_OPERATOR_H_

#include "buffer.h"
#include "checks.h"
#include "flexbuffer.h"
#include "kernels/kernels.h"
#include "thread_pool.h"
#include "tflite_abi.h"

namespace kbnn {

// Shared by the operators of one delegate.
struct Resources {
  const Kernels* kernels;
  ThreadPool* pool;
};

class Operator : public HeapObject {
 public:
  explicit Operator(const Resources& resources) : resources_(resources) {}
  virtual ~Operator() = default;

  // Copies the tensor indices of `node`, the operator's node in the model, and reads its options.
  // The interpreter's replacement node is no substitute: it lists each tensor once, in another
  // order.
  TfLiteStatus take_over(TfLiteContext* context, const TfLiteNode& node);

  // Adds a node to compute together with this one: it reads the previous node's output.
  virtual TfLiteStatus fuse_next(TfLiteContext* context, const TfLiteNode& node);

  // `read` lists the tensors that other nodes or the user read. The interpreter allocates an output
  // only if it is in this list.
  void set_readers(const TfLiteIntArray* read) { has_readers_ = contains(read, output_index()); }
  bool has_readers() const { return has_readers_; }

  // Checks the tensors and resizes the outputs. Called before the first run and after each change
  // of shapes. `node` is the delegate's node, which lists the temporary tensors.
  virtual TfLiteStatus prepare(TfLiteContext* context, TfLiteNode* node) = 0;

  // Allocates nothing. Called only if the output has readers.
  virtual TfLiteStatus invoke(TfLiteContext* context) = 0;

 protected:
  virtual TfLiteStatus read_options(TfLiteContext* context, const FlexbufferMap& options) = 0;

  // Reads an option and checks that it lies in minimum .. maximum.
  TfLiteStatus read_option(TfLiteContext* context, const FlexbufferMap& options, const char* name,
                           int32_t minimum, int32_t maximum, int32_t* value) const;

  // An error unless there are `inputs` inputs and one output, and the output and the first
  // `required` inputs are tensors of the model. The other inputs are optional: an omitted one has
  // index -1.
  TfLiteStatus check_tensors(TfLiteContext* context, size_t inputs, size_t required) const;
  TfLiteStatus check_input(TfLiteContext* context, size_t i) const;
  TfLiteTensor& input(TfLiteContext* context, size_t i) const {
    return *tensor_at(context, inputs_[i]);
  }
  TfLiteTensor& output(TfLiteContext* context) const { return *tensor_at(context, outputs_[0]); }
  // -1 if the node has no output.
  int output_index() const { return outputs_.size() > 0 ? outputs_[0] : -1; }
  // Writes to another tensor: the output of the node fused with this one.
  void redirect_output(int tensor) { outputs_[0] = tensor; }

  virtual const char* name() const = 0;

  const Resources resources_;

 private:
  Buffer<int> inputs_;
  Buffer<int> outputs_;
  bool has_readers_ = true;
};

// Null if memory is exhausted.
Operator* new_quantize(const Resources& resources);
Operator* new_dequantize(const Resources& resources);
Operator* new_bmaxpool(const Resources& resources);
Operator* new_bconv2d(const Resources& resources);

}  // namespace kbnn

#endif  // KBNN_OPERATOR_H_
