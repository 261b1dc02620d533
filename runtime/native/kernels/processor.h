// Detects the instruction sets that the processor and the operating system support.
#ifndef KBNN_KERNELS_PROCESSOR_H_
#define KBNN_KERNELS_PROCESSOR_H_

namespace kbnn {

struct Processor {
  bool avx2 = false;
  bool avx512 = false;            // F, BW and VL
  bool avx512_vpopcntdq = false;  // with the three above
  bool neon = false;
};

// On x86-64 this asks CPUID, and XGETBV for whether the operating system saves the wide registers.
// It does not use __builtin_cpu_supports, which always answers no if the compiler brings no runtime
// for it (Zig).
Processor detect_processor();

}  // namespace kbnn

#endif  // KBNN_KERNELS_PROCESSOR_H_
