// Checks of what a file says before it is used: arithmetic that detects overflow, and tensors with
// the rank, type and number of bytes that their operator reads.
#ifndef KBNN_CHECKS_H_
#define KBNN_CHECKS_H_

#include <cstddef>
#include <cstdint>

#include "tflite_abi.h"

// Unless `condition` holds, reports "kbnn: ..." and returns an error from the calling function.
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

// Sets `product` to a * b * ...; false on overflow.
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

// The tensor with that index, or null if the model has none.
inline TfLiteTensor* tensor_at(TfLiteContext* context, int index) {
  if (index < 0 || static_cast<size_t>(index) >= context->tensors_size) return nullptr;
  return &context->tensors[index];
}

// Whether a list of tensors, which may be null, contains the index.
inline bool contains(const TfLiteIntArray* tensors, int index) {
  for (int i = 0; tensors != nullptr && i < tensors->size; ++i) {
    if (tensors->data[i] == index) return true;
  }
  return false;
}

inline int rank(const TfLiteTensor& tensor) {
  return tensor.dims == nullptr ? 0 : tensor.dims->size;
}

// The size along an axis, which must be below the rank.
inline int64_t dimension(const TfLiteTensor& tensor, int axis) { return tensor.dims->data[axis]; }

// Sets `count` to the product of the sizes; false if a size is negative or the product overflows.
bool element_count(const TfLiteTensor& tensor, size_t* count);

// An error unless `tensor` has this rank and type and its size in bytes does not overflow. `what`
// names it in the message: "LceQuantize's input".
TfLiteStatus check_tensor(TfLiteContext* context, const char* what, const TfLiteTensor& tensor,
                          int rank, TfLiteType type);

// An error unless the file holds the tensor's values, as many bytes as its sizes need.
TfLiteStatus check_constant(TfLiteContext* context, const char* what, const TfLiteTensor& tensor,
                            size_t element_bytes);

// An error unless the tensor has memory for `elements` of `element_bytes` each. Checked before
// every run, since the interpreter allocates tensors after `prepare`.
TfLiteStatus check_memory(TfLiteContext* context, const char* what, const TfLiteTensor& tensor,
                          size_t elements, size_t element_bytes);

// Resizes `tensor`. An error if a size does not fit an int or the bytes overflow.
TfLiteStatus resize(TfLiteContext* context, const char* what, TfLiteTensor* tensor,
                    const int64_t* sizes, int rank);

// Arrays that the interpreter frees later, or has allocated.
TfLiteIntArray* new_int_array(TfLiteContext* context, int size);
void free_int_array(TfLiteContext* context, TfLiteIntArray* array);

}  // namespace kbnn

#endif  // KBNN_CHECKS_H_
