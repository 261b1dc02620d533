// Compares the structs of tflite_abi.h with recorded offsets. Compiling this file is the test.
//
// The offsets were recorded from tflite/core/c/common.h and builtin_op_data.h of
// https://github.com/google-ai-edge/LiteRT at f67457790c9c2ab67347d6fe53270e8d3df20868, compiled
// for x86-64 (GCC) and 32-bit ARM (Clang, hard float). AArch64 has the offsets of x86-64.
#include "tflite_abi.h"

namespace {

constexpr bool kWide = sizeof(void*) == 8;

#define OFFSET(type, field, wide, narrow) \
  static_assert(offsetof(type, field) == (kWide ? wide : narrow), #type "." #field)
#define SIZE(type, wide, narrow) static_assert(sizeof(type) == (kWide ? wide : narrow), #type)

SIZE(TfLiteTensor, 112, 64);
OFFSET(TfLiteTensor, type, 0, 0);
OFFSET(TfLiteTensor, data, 8, 4);
OFFSET(TfLiteTensor, dims, 16, 8);
OFFSET(TfLiteTensor, params, 24, 12);
OFFSET(TfLiteTensor, allocation_type, 32, 20);
OFFSET(TfLiteTensor, bytes, 40, 24);
OFFSET(TfLiteTensor, name, 56, 32);
OFFSET(TfLiteTensor, delegate, 64, 36);
OFFSET(TfLiteTensor, is_variable, 77, 45);
OFFSET(TfLiteTensor, quantization, 80, 48);
OFFSET(TfLiteTensor, dims_signature, 104, 60);
SIZE(TfLiteNode, 80, 40);
OFFSET(TfLiteNode, inputs, 0, 0);
OFFSET(TfLiteNode, outputs, 8, 4);
OFFSET(TfLiteNode, temporaries, 24, 12);
OFFSET(TfLiteNode, user_data, 32, 16);
OFFSET(TfLiteNode, builtin_data, 40, 20);
OFFSET(TfLiteNode, custom_initial_data, 48, 24);
OFFSET(TfLiteNode, custom_initial_data_size, 56, 28);
OFFSET(TfLiteNode, delegate, 64, 32);
OFFSET(TfLiteContext, tensors_size, 0, 0);
OFFSET(TfLiteContext, GetExecutionPlan, 8, 4);
OFFSET(TfLiteContext, tensors, 16, 8);
OFFSET(TfLiteContext, ResizeTensor, 32, 16);
OFFSET(TfLiteContext, ReportError, 40, 20);
OFFSET(TfLiteContext, AddTensors, 48, 24);
OFFSET(TfLiteContext, GetNodeAndRegistration, 56, 28);
OFFSET(TfLiteContext, ReplaceNodeSubsetsWithDelegateKernels, 64, 32);
OFFSET(TfLiteContext, PreviewDelegatePartitioning, 152, 76);
OFFSET(TfLiteContext, ReleaseSubgraphContext, 192, 96);
OFFSET(TfLiteRegistration, init, 0, 0);
OFFSET(TfLiteRegistration, free, 8, 4);
OFFSET(TfLiteRegistration, prepare, 16, 8);
OFFSET(TfLiteRegistration, invoke, 24, 12);
OFFSET(TfLiteRegistration, builtin_code, 40, 20);
OFFSET(TfLiteRegistration, custom_name, 48, 24);
OFFSET(TfLiteRegistration, version, 56, 28);
OFFSET(TfLiteRegistration, async_kernel, 72, 36);
SIZE(TfLiteDelegate, 56, 40);
OFFSET(TfLiteDelegate, data_, 0, 0);
OFFSET(TfLiteDelegate, Prepare, 8, 4);
OFFSET(TfLiteDelegate, flags, 40, 24);
OFFSET(TfLiteDelegate, opaque_delegate_builder, 48, 32);
SIZE(TfLiteDelegateParams, 32, 16);
OFFSET(TfLiteDelegateParams, nodes_to_replace, 8, 4);
OFFSET(TfLiteDelegateParams, output_tensors, 24, 12);
SIZE(TfLiteAddParams, 8, 8);
OFFSET(TfLiteAddParams, activation, 0, 0);
SIZE(TfLiteFusedActivation, 4, 4);
SIZE(TfLiteQuantizationParams, 8, 8);
SIZE(TfLiteQuantization, 16, 8);
OFFSET(TfLiteIntArray, data, 4, 4);

// The size matters too: a delegate passes this struct by value.
SIZE(TfLiteRegistration, 88, 48);

SIZE(TfLiteStatus, 4, 4);
static_assert(kTfLiteOk == 0 && kTfLiteError == 1, "TfLiteStatus");
static_assert(kTfLiteFloat32 == 1 && kTfLiteInt32 == 2 && kTfLiteUInt8 == 3, "TfLiteType");
static_assert(kTfLiteBool == 6 && kTfLiteInt8 == 9, "TfLiteType");
static_assert(kTfLiteMmapRo == 1 && kTfLiteArenaRw == 2 && kTfLitePersistentRo == 5,
              "TfLiteAllocationType");
static_assert(kTfLiteNoQuantization == 0 && kTfLiteAffineQuantization == 1,
              "TfLiteQuantizationType");
static_assert(kTfLiteBuiltinAdd == 0, "TfLiteBuiltinOperator");
static_assert(kTfLiteActNone == 0, "TfLiteFusedActivation");
static_assert(kTfLiteDelegateFlagsAllowDynamicTensors == 1, "TfLiteDelegateFlags");

}  // namespace
