// Which nodes after a binary convolution are computed together with it.
#ifndef KBNN_BCONV2D_FUSION_H_
#define KBNN_BCONV2D_FUSION_H_

#include "checks.h"

namespace kbnn {

// LceBconv2d, the ADD that is the only reader of its floats, and an LceQuantize of the sum. Has the
// memory layout of a TfLiteIntArray.
struct Fusion {
  int size;      // 1: only the convolution
  int nodes[3];  // in this order

  const TfLiteIntArray* as_array() const { return reinterpret_cast<const TfLiteIntArray*>(this); }
};

// Finds the largest fusion that begins with the convolution plan[first]. Skips negative entries of
// the plan.
TfLiteStatus find_fusion(TfLiteContext* context, const int* plan, size_t count, size_t first,
                         Fusion* fusion);

// The input of an ADD that is not `addend`; -1 if there is none, or if `addend` is added to itself.
int other_addend(const TfLiteNode& add, int addend);

}  // namespace kbnn

#endif  // KBNN_BCONV2D_FUSION_H_
