#include "kernels/processor.h"

#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__arm__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace kbnn {
namespace {

#if defined(__x86_64__)
constexpr uint32_t bit(int position) { return uint32_t{1} << position; }

// The register states that the operating system saves and restores.
uint32_t saved_states() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}
#endif

}  // namespace

Processor detect_processor() {
  Processor found;
#if defined(__x86_64__)
  uint32_t eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return found;
  const bool avx = (ecx & bit(28)) != 0;
  const bool fma = (ecx & bit(12)) != 0;
  const bool xgetbv = (ecx & bit(27)) != 0;
  if (!avx || !fma || !xgetbv || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return found;
  constexpr uint32_t kVectors = bit(1) | bit(2);               // SSE and AVX
  constexpr uint32_t kWideVectors = bit(5) | bit(6) | bit(7);  // masks, upper halves, 16..31
  const uint32_t saved = saved_states();
  if ((saved & kVectors) != kVectors) return found;
  found.avx2 = (ebx & bit(5)) != 0;
  constexpr uint32_t kAvx512 = bit(16) | bit(30) | bit(31);  // F, BW, VL
  found.avx512 = found.avx2 && (saved & kWideVectors) == kWideVectors && (ebx & kAvx512) == kAvx512;
  found.avx512_vpopcntdq = found.avx512 && (ecx & bit(14)) != 0;
#elif defined(__aarch64__)
  found.neon = true;
#elif defined(__arm__) && defined(__linux__)
  constexpr unsigned long kHwcapNeon = 1UL << 12;
  found.neon = (getauxval(AT_HWCAP) & kHwcapNeon) != 0;
#endif
  return found;
}

}  // namespace kbnn
