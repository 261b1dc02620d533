#include "checks.h"

#include <climits>
#include <cstdlib>

namespace kbnn {
namespace {

const char* type_name(TfLiteType type) {
  switch (type) {
    case kTfLiteFloat32:
      return "float32";
    case kTfLiteInt32:
      return "int32";
    case kTfLiteUInt8:
      return "uint8";
    case kTfLiteBool:
      return "bool";
    case kTfLiteInt8:
      return "int8";
  }
  return "another type";
}

}  // namespace

bool element_count(const TfLiteTensor& tensor, size_t* count) {
  *count = 1;
  for (int axis = 0; axis < rank(tensor); ++axis) {
    const int64_t size = dimension(tensor, axis);
    if (size < 0 || !multiply(*count, static_cast<size_t>(size), count)) return false;
  }
  return true;
}

TfLiteStatus check_tensor(TfLiteContext* context, const char* what, const TfLiteTensor& tensor,
                          int expected_rank, TfLiteType type) {
  KBNN_EXPECT(context, tensor.type == type, "Expected %s to be %s. Received %s (type %d).", what,
              type_name(type), type_name(tensor.type), static_cast<int>(tensor.type));
  KBNN_EXPECT(context, rank(tensor) == expected_rank,
              "Expected %s to have rank %d. Received rank %d.", what, expected_rank, rank(tensor));
  size_t count, bytes;
  KBNN_EXPECT(context, element_count(tensor, &count) && multiply(count, 4, &bytes),
              "Expected %s to be of a size that fits the address space. Received a larger one.",
              what);
  return kTfLiteOk;
}

TfLiteStatus check_constant(TfLiteContext* context, const char* what, const TfLiteTensor& tensor,
                            size_t element_bytes) {
  const bool constant =
      tensor.allocation_type == kTfLiteMmapRo || tensor.allocation_type == kTfLitePersistentRo;
  KBNN_EXPECT(context, constant && tensor.data != nullptr,
              "Expected %s to be a constant in the file. Received a tensor computed at run time.",
              what);
  size_t count;
  KBNN_EXPECT(context, element_count(tensor, &count),
              "Expected %s to be of a size that fits the address space.", what);
  return check_memory(context, what, tensor, count, element_bytes);
}

TfLiteStatus check_memory(TfLiteContext* context, const char* what, const TfLiteTensor& tensor,
                          size_t elements, size_t element_bytes) {
  size_t bytes;
  const bool countable = multiply(elements, element_bytes, &bytes);
  KBNN_EXPECT(context,
              countable && (bytes == 0 || (tensor.data != nullptr && tensor.bytes >= bytes)),
              "Expected %s to have the %.0f bytes that its shape needs. Received %.0f.", what,
              static_cast<double>(elements) * static_cast<double>(element_bytes),
              tensor.data == nullptr ? 0.0 : static_cast<double>(tensor.bytes));
  return kTfLiteOk;
}

TfLiteStatus resize(TfLiteContext* context, const char* what, TfLiteTensor* tensor,
                    const int64_t* sizes, int size_count) {
  size_t count = 4;
  for (int axis = 0; axis < size_count; ++axis) {
    KBNN_EXPECT(
        context,
        sizes[axis] >= 0 && sizes[axis] <= INT_MAX &&
            multiply(count, static_cast<size_t>(sizes[axis]), &count),
        "Expected %s to be of a size that fits the address space. Received %.0f along axis %d.",
        what, static_cast<double>(sizes[axis]), axis);
  }
  TfLiteIntArray* array = new_int_array(context, size_count);
  KBNN_EXPECT(context, array != nullptr, "Out of memory: could not allocate the shape of %s.",
              what);
  for (int axis = 0; axis < size_count; ++axis) array->data[axis] = static_cast<int>(sizes[axis]);
  return context->ResizeTensor(context, tensor, array);
}

TfLiteIntArray* new_int_array(TfLiteContext* context, int size) {
#ifdef _WIN32
  return context->TfLiteIntArrayCreate(size);
#else
  (void)context;
  const size_t bytes = offsetof(TfLiteIntArray, data) + sizeof(int) * static_cast<size_t>(size);
  auto* array = static_cast<TfLiteIntArray*>(std::malloc(bytes));
  if (array != nullptr) array->size = size;
  return array;
#endif
}

void free_int_array(TfLiteContext* context, TfLiteIntArray* array) {
#ifdef _WIN32
  context->TfLiteIntArrayFree(array);
#else
  (void)context;
  std::free(array);
#endif
}

}  // namespace kbnn
