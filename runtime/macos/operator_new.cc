// Operators new and delete that the library keeps to itself. Those of a static C++ library would be
// exported, and macOS would then make one of them serve the whole process.
#include <cstdlib>
#include <new>

#define KBNN_HIDDEN __attribute__((visibility("hidden")))

namespace {

// Without exceptions there is nothing to throw.
void* or_abort(void* memory) {
  if (memory == nullptr) std::abort();
  return memory;
}

void* allocate(std::size_t size) { return or_abort(std::malloc(size == 0 ? 1 : size)); }

void* allocate(std::size_t size, std::align_val_t alignment) {
  const std::size_t least = sizeof(void*), wanted = static_cast<std::size_t>(alignment);
  void* memory = nullptr;
  if (posix_memalign(&memory, wanted < least ? least : wanted, size == 0 ? 1 : size) != 0) {
    memory = nullptr;
  }
  return or_abort(memory);
}

}  // namespace

KBNN_HIDDEN void* operator new(std::size_t size) { return allocate(size); }
KBNN_HIDDEN void* operator new[](std::size_t size) { return allocate(size); }
KBNN_HIDDEN void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, alignment);
}
KBNN_HIDDEN void* operator new[](std::size_t size, std::align_val_t alignment) {
  return allocate(size, alignment);
}
KBNN_HIDDEN void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return std::malloc(size == 0 ? 1 : size);
}
KBNN_HIDDEN void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return std::malloc(size == 0 ? 1 : size);
}

KBNN_HIDDEN void operator delete(void* memory) noexcept { std::free(memory); }
KBNN_HIDDEN void operator delete[](void* memory) noexcept { std::free(memory); }
KBNN_HIDDEN void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
KBNN_HIDDEN void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
KBNN_HIDDEN void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
KBNN_HIDDEN void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
KBNN_HIDDEN void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
KBNN_HIDDEN void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
