// Which instructions this processor and its operating system allow.
#ifndef KBNN_PROCESSOR_H_
#define KBNN_PROCESSOR_H_

namespace kbnn {

struct Processor {
  bool avx2 = false;
  bool avx512 = false;            // F, BW and VL
  bool avx512_vpopcntdq = false;  // with the three above
  bool neon = false;
};

// Asked of the processor itself: CPUID and, for whether the operating system keeps the wide
// registers, XGETBV. The compiler's __builtin_cpu_supports is not used: where the compiler brings
// no runtime for it (Zig), it answers no to everything.
Processor detect_processor();

}  // namespace kbnn

#endif  // KBNN_PROCESSOR_H_
