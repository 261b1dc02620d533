// Counts allocations of a process that it is preloaded into: glibc alone, whose own functions it
// calls on under their internal names.
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include <atomic>

extern "C" {

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

namespace {

std::atomic<uint64_t> all{0};
std::atomic<uint64_t> own{0};
std::atomic<uintptr_t> first{0};
std::atomic<uintptr_t> last{0};

void count(const void* caller) {
  all.fetch_add(1, std::memory_order_relaxed);
  const uintptr_t address = reinterpret_cast<uintptr_t>(caller);
  if (address >= first.load(std::memory_order_relaxed) &&
      address < last.load(std::memory_order_relaxed)) {
    own.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace

#define COUNT() count(__builtin_return_address(0))

void* malloc(size_t size) {
  COUNT();
  return __libc_malloc(size);
}
void* calloc(size_t number, size_t size) {
  COUNT();
  return __libc_calloc(number, size);
}
void* realloc(void* old, size_t size) {
  COUNT();
  return __libc_realloc(old, size);
}
void* memalign(size_t alignment, size_t size) {
  COUNT();
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  COUNT();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** to, size_t alignment, size_t size) {
  COUNT();
  void* found = __libc_memalign(alignment, size);
  if (found == nullptr) return ENOMEM;
  *to = found;
  return 0;
}

// Calls from these addresses are the caller's own: those of a library's code.
void watch(void* begin, void* end) {
  first = reinterpret_cast<uintptr_t>(begin);
  last = reinterpret_cast<uintptr_t>(end);
}
uint64_t all_allocations() { return all; }
uint64_t own_allocations() { return own; }

}  // extern "C"
