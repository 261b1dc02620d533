#include "kernels/kernels.h"

#include <cstring>

namespace kbnn {

const Kernels* choose_kernels(const char* name, const Processor& processor) {
  struct Choice {
    const Kernels* kernels;
    bool available;
  };
  // Fastest first.
  const Choice choices[] = {
#if defined(__x86_64__)
      {&kAvx512VpopcntdqKernels, processor.avx512_vpopcntdq},
      {&kAvx512Kernels, processor.avx512},
      {&kAvx2Kernels, processor.avx2},
#elif defined(__aarch64__) || defined(__arm__)
      {&kNeonKernels, processor.neon},
#endif
      {&kPortableKernels, true},
  };
  (void)processor;
  const bool any = std::strcmp(name, "auto") == 0;
  for (const Choice& choice : choices) {
    if (choice.available && (any || std::strcmp(name, choice.kernels->name) == 0)) {
      return choice.kernels;
    }
  }
  return nullptr;
}

}  // namespace kbnn
