// What a file says is believed after it was checked: arithmetic that notices an overflow, tensors
// that have the rank, type and bytes their operator reads.
#ifndef KBNN_CHECKS_H_
#define KBNN_CHECKS_H_

#include <cstddef>
#include <cstdint>

#include "tflite_abi.h"

// Reports "kbnn: Expected ... Received ..." and leaves the calling function with an error.
#define KBNN_EXPECT(context, condition, ...)                   \
  do {                                                         \
    if (!(condition)) {                                        \
      (context)->ReportError((context), "kbnn: " __VA_ARGS__); \
      return kTfLiteError;                                     \
    }                                                          \
  } while (0)

#define KBNN_RETURN_IF_ERROR(status)                \
  do {                                              \
    if ((status) != kTfLiteOk) return kTfLiteError; \
  } while (0)

namespace kbnn {

// Bits of a packed word.
constexpr int kWordBits = 32;

inline bool multiply(size_t a, size_t b, size_t* product) {
  return !__builtin_mul_overflow(a, b, product);
}

inline bool add(size_t a, size_t b, size_t* sum) { return !__builtin_add_overflow(a, b, sum); }

// a * b * ... in `product`; false where it does not fit.
inline bool multiply_all(size_t* product) {
  *product = 1;
  return true;
}
template <class... Rest>
bool multiply_all(size_t* product, size_t first, Rest... rest) {
  return multiply_all(product, static_cast<size_t>(rest)...) && multiply(*product, first, product);
}

// Words that hold `channels` bits.
inline int64_t packed_words(int64_t channels) { return (channels + kWordBits - 1) / kWordBits; }

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The tensor of that index, or null where the model has none.
inline TfLiteTensor* tensor_at(TfLiteContext* context, int index) {
  if (index < 0 || static_cast<size_t>(index) >= context->tensors_size) return nullptr;
  return &context->tensors[index];
}

// Whether a list of tensors, or none (null), has this index.
inline bool contains(const TfLiteIntArray* tensors, int index) {
  for (int i = 0; tensors != nullptr && i < tensors->size; ++i) {
    if (tensors->data[i] == index) return true;
  }
  return false;
}

inline int rank(const TfLiteTensor& tensor) {
  return tensor.dims == nullptr ? 0 : tensor.dims->size;
}

// Size along an axis below the tensor's rank.
inline int64_t dimension(const TfLiteTensor& tensor, int axis) { return tensor.dims->data[axis]; }

// Product of the sizes; false where one is negative or the product does not fit.
bool element_count(const TfLiteTensor& tensor, size_t* count);

// An error unless `tensor` has this rank and type and sizes whose bytes can be counted. `what`
// names it in the message: "LceQuantize's input".
TfLiteStatus check_tensor(TfLiteContext* context, const char* what, const TfLiteTensor& tensor,
                          int rank, TfLiteType type);

// An error unless the values are in the file and as many bytes long as the sizes say.
TfLiteStatus check_constant(TfLiteContext* context, const char* what, const TfLiteTensor& tensor,
                            size_t element_bytes);

// An error unless the tensor has memory for `elements` of `element_bytes` each: asked before every
// run, since the interpreter gives tensors their memory after `prepare`.
TfLiteStatus check_memory(TfLiteContext* context, const char* what, const TfLiteTensor& tensor,
                          size_t elements, size_t element_bytes);

// Gives `tensor` these sizes; each must fit an int.
TfLiteStatus resize(TfLiteContext* context, const char* what, TfLiteTensor* tensor,
                    const int64_t* sizes, int rank);

// Arrays that the interpreter will free, or has made.
TfLiteIntArray* new_int_array(TfLiteContext* context, int size);
void free_int_array(TfLiteContext* context, TfLiteIntArray* array);

}  // namespace kbnn

#endif  // KBNN_CHECKS_H_
