// Counts allocations of a process that it is preloaded into, and what one library of it holds: glibc
// alone, whose own functions it calls on under their internal names.
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

void* counted(void* memory, const void* caller) {
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

// What the library frees counts as its own, by whomever it was allocated. What it has allocated counts
// on where others free it (lists of sizes that are handed to LiteRT), and where it frees by a jump at
// a function's end, which comes from the caller's address: what it holds is never more than counted.
void let_go(void* memory, const void* caller) {
  if (is_own(caller)) held.fetch_sub(malloc_usable_size(memory), std::memory_order_relaxed);
}

}  // namespace

#define COUNTED(memory) counted(memory, __builtin_return_address(0))

void* malloc(size_t size) { return COUNTED(__libc_malloc(size)); }
void* calloc(size_t number, size_t size) { return COUNTED(__libc_calloc(number, size)); }
void* realloc(void* old, size_t size) {
  let_go(old, __builtin_return_address(0));
  return COUNTED(__libc_realloc(old, size));
}
void* memalign(size_t alignment, size_t size) { return COUNTED(__libc_memalign(alignment, size)); }
void* aligned_alloc(size_t alignment, size_t size) {
  return COUNTED(__libc_memalign(alignment, size));
}
int posix_memalign(void** to, size_t alignment, size_t size) {
  void* found = COUNTED(__libc_memalign(alignment, size));
  if (found == nullptr) return ENOMEM;
  *to = found;
  return 0;
}
void free(void* memory) {
  let_go(memory, __builtin_return_address(0));
  __libc_free(memory);
}

// Calls from these addresses are the caller's own: those of a library's code.
void watch(void* begin, void* end) {
  first = reinterpret_cast<uintptr_t>(begin);
  last = reinterpret_cast<uintptr_t>(end);
}
uint64_t all_allocations() { return all; }
uint64_t own_allocations() { return own; }
// The most that the library has held since it was watched.
int64_t own_peak_bytes() { return most; }

}  // extern "C"
