// Memory whose allocation may fail: zero-initialized arrays, and objects on the heap.
#ifndef KBNN_BUFFER_H_
#define KBNN_BUFFER_H_

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "checks.h"

namespace kbnn {

constexpr size_t kAlignment = 64;

// The base of objects on the heap: `new` returns null if memory is exhausted. Nothing uses the
// global operators, which would have to be linked from the C++ library and would be exported.
struct HeapObject {
  static void* operator new(size_t size) noexcept { return std::malloc(size); }
  static void operator delete(void* memory) { std::free(memory); }
};

// A zero-initialized array, aligned for every kernel set. std::vector would throw when memory is
// exhausted, and this library is built without exceptions.
template <class T>
class Buffer {
  static_assert(std::is_trivial<T>::value, "elements are initialized with zero bytes");

 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(memory_); }

  // Replaces the array by `count` zeros. False, and empty, if memory is exhausted.
  bool allocate(size_t count) {
    std::free(memory_);
    memory_ = nullptr;
    data_ = nullptr;
    size_ = 0;
    size_t bytes;
    if (!multiply(count, sizeof(T), &bytes) || !add(bytes, kAlignment, &bytes)) return false;
    memory_ = std::calloc(bytes, 1);
    if (memory_ == nullptr) return false;
    const uintptr_t address = reinterpret_cast<uintptr_t>(memory_);
    data_ = reinterpret_cast<T*>((address + kAlignment - 1) / kAlignment * kAlignment);
    size_ = count;
    return true;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }

 private:
  void* memory_ = nullptr;
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace kbnn

#endif  // KBNN_BUFFER_H_
