// Counts the allocations of the process into which it is preloaded, and the memory that one library
// of the process holds. It works with glibc only, because it calls glibc's internal functions.
#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>

#include <atomic>

extern "C" {

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* memory);

namespace {

std::atomic<uint64_t> all{0};
std::atomic<uint64_t> own{0};
std::atomic<uintptr_t> first{0};
std::atomic<uintptr_t> last{0};

std::atomic<int64_t> held{0};
std::atomic<int64_t> most{0};

bool is_own(const void* caller) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(caller);
  return address >= first.load(std::memory_order_relaxed) &&
         address < last.load(std::memory_order_relaxed);
}

void* count_allocation(void* memory, const void* caller) {
  all.fetch_add(1, std::memory_order_relaxed);
  if (is_own(caller)) {
    own.fetch_add(1, std::memory_order_relaxed);
    const int64_t size = malloc_usable_size(memory);
    const int64_t now = held.fetch_add(size, std::memory_order_relaxed) + size;
    int64_t before = most.load(std::memory_order_relaxed);
    while (now > before && !most.compare_exchange_weak(before, now)) {
    }
  }
  return memory;
}

// Memory that the library frees is subtracted, whoever allocated it. Memory that it allocated stays
// counted if others free it (lists of sizes that LiteRT gets), or if the library frees it by a jump
// at the end of a function, which comes from the caller's address. So the count is an upper bound.
void count_free(void* memory, const void* caller) {
  if (is_own(caller)) held.fetch_sub(malloc_usable_size(memory), std::memory_order_relaxed);
}

}  // namespace

#define COUNT(memory) count_allocation(memory, __builtin_return_address(0))

void* malloc(size_t size) { return COUNT(__libc_malloc(size)); }
void* calloc(size_t number, size_t size) { return COUNT(__libc_calloc(number, size)); }
void* realloc(void* old, size_t size) {
  count_free(old, __builtin_return_address(0));
  return COUNT(__libc_realloc(old, size));
}
void* memalign(size_t alignment, size_t size) { return COUNT(__libc_memalign(alignment, size)); }
void* aligned_alloc(size_t alignment, size_t size) {
  return COUNT(__libc_memalign(alignment, size));
}
int posix_memalign(void** to, size_t alignment, size_t size) {
  void* found = COUNT(__libc_memalign(alignment, size));
  if (found == nullptr) return ENOMEM;
  *to = found;
  return 0;
}
void free(void* memory) {
  count_free(memory, __builtin_return_address(0));
  __libc_free(memory);
}

// Sets the addresses of the library whose calls are counted separately.
void watch(void* begin, void* end) {
  first = reinterpret_cast<uintptr_t>(begin);
  last = reinterpret_cast<uintptr_t>(end);
}
uint64_t all_allocations() { return all; }
uint64_t own_allocations() { return own; }
// The most memory that the library has held since `watch`.
int64_t own_peak_bytes() { return most; }

}  // extern "C"
