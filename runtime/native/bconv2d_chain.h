// Which nodes behind a binary convolution are computed with it.
#ifndef KBNN_BCONV2D_CHAIN_H_
#define KBNN_BCONV2D_CHAIN_H_

#include "checks.h"

namespace kbnn {

// LceBconv2d, the ADD that is alone in reading its floats, and an LceQuantize of the sum. Laid out
// as a TfLiteIntArray.
struct Bconv2dChain {
  int size;      // 1: the convolution alone
  int nodes[3];  // in this order

  const TfLiteIntArray* as_array() const { return reinterpret_cast<const TfLiteIntArray*>(this); }
};

// The longest chain that begins with the convolution plan[first]. Nodes of the plan that are below
// zero are passed over.
TfLiteStatus find_bconv2d_chain(TfLiteContext* context, const int* plan, size_t count, size_t first,
                                Bconv2dChain* chain);

// The input of an ADD that is not `other`; -1 where it has none, or `other` twice.
int other_addend(const TfLiteNode& add, int other);

}  // namespace kbnn

#endif  // KBNN_BCONV2D_CHAIN_H_
