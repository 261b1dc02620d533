// The external delegate that LiteRT loads. It claims the operators of Larq Compute Engine.
//
// tflite_plugin_create_delegate(keys, values, count, report_error) takes these options:
//   num_threads   "1" (default) to "128"
//   kernels       "auto" (default), or a kernel set that the processor can run: "portable", "avx2",
//                 "avx512", "avx512_vpopcntdq", "neon"
//   fusion        "on" (default) computes a binary convolution together with the ADD and the
//                 LceQuantize after it, whose intermediate tensors then hold nothing; "off"
// For anything else it calls report_error and returns null.
#include <cstdlib>
#include <cstring>

#include <stdio.h>

#include "bconv2d/fusion.h"
#include "operator.h"

#ifdef _WIN32
#define KBNN_EXPORT extern "C" __declspec(dllexport)
#else
#define KBNN_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace kbnn {
namespace {

using ReportError = void (*)(const char*);

struct Delegate : HeapObject {
  TfLiteDelegate interface;
  ThreadPool pool;
  Resources resources;
  bool fusion;
};

struct OperatorName {
  const char* name;
  Operator* (*create)(const Resources&);
};

constexpr OperatorName kOperators[] = {
    {"LceQuantize", new_quantize},
    {"LceDequantize", new_dequantize},
    {"LceBMaxPool2d", new_bmaxpool},
    {"LceBconv2d", new_bconv2d},
};

const OperatorName* find_operator(const TfLiteRegistration& registration) {
  if (registration.custom_name == nullptr) return nullptr;
  for (const OperatorName& candidate : kOperators) {
    if (std::strcmp(registration.custom_name, candidate.name) == 0) return &candidate;
  }
  return nullptr;
}

// Returns null, after reporting why, if the node cannot be run. Its `prepare` then fails.
void* init_node(TfLiteContext* context, const char* buffer, size_t) {
  const auto* params = reinterpret_cast<const TfLiteDelegateParams*>(buffer);
  auto* delegate = static_cast<Delegate*>(params->delegate->data_);
  const TfLiteIntArray& nodes = *params->nodes_to_replace;
  TfLiteNode* node = nullptr;
  TfLiteRegistration* registration = nullptr;
  const OperatorName* found = nullptr;
  if (nodes.size >= 1 &&
      context->GetNodeAndRegistration(context, nodes.data[0], &node, &registration) == kTfLiteOk) {
    found = find_operator(*registration);
  }
  if (found == nullptr) {
    context->ReportError(context, "kbnn: Expected an operator of LCE. Received %d other nodes.",
                         nodes.size);
    return nullptr;
  }
  Operator* op = found->create(delegate->resources);
  if (op == nullptr) {
    context->ReportError(context, "kbnn: Out of memory: could not allocate %s.",
                         registration->custom_name);
    return nullptr;
  }
  TfLiteStatus status = op->take_over(context, *node);
  for (int i = 1; i < nodes.size && status == kTfLiteOk; ++i) {
    status = context->GetNodeAndRegistration(context, nodes.data[i], &node, &registration);
    if (status == kTfLiteOk) status = op->fuse_next(context, *node);
  }
  if (status != kTfLiteOk) {
    delete op;
    return nullptr;
  }
  op->set_readers(params->output_tensors);
  return op;
}

void free_node(TfLiteContext*, void* op) { delete static_cast<Operator*>(op); }

TfLiteStatus prepare_node(TfLiteContext* context, TfLiteNode* node) {
  if (node->user_data == nullptr) return kTfLiteError;
  return static_cast<Operator*>(node->user_data)->prepare(context, node);
}

TfLiteStatus invoke_node(TfLiteContext* context, TfLiteNode* node) {
  auto* op = static_cast<Operator*>(node->user_data);
  return op->has_readers() ? op->invoke(context) : kTfLiteOk;
}

TfLiteStatus take_over_nodes(TfLiteContext* context, TfLiteDelegate* delegate) {
  TfLiteIntArray* plan = nullptr;
  KBNN_RETURN_IF_ERROR(context->GetExecutionPlan(context, &plan));
  const size_t count = static_cast<size_t>(plan->size);
  // A copy: the interpreter changes its plan with each node that it replaces.
  Buffer<int> nodes;
  KBNN_EXPECT(context, nodes.allocate(count),
              "Out of memory: could not allocate the list of nodes.");
  for (size_t i = 0; i < count; ++i) nodes[i] = plan->data[i];
  // Each is replaced separately, so that the interpreter keeps the tensors between them.
  for (size_t i = 0; i < count; ++i) {
    if (nodes[i] < 0) continue;
    TfLiteNode* node = nullptr;
    TfLiteRegistration* registration = nullptr;
    KBNN_RETURN_IF_ERROR(context->GetNodeAndRegistration(context, nodes[i], &node, &registration));
    const OperatorName* found = find_operator(*registration);
    if (found == nullptr || node->delegate != nullptr) continue;
    TfLiteRegistration replacement = {};
    replacement.init = init_node;
    replacement.free = free_node;
    replacement.prepare = prepare_node;
    replacement.invoke = invoke_node;
    replacement.custom_name = found->name;
    replacement.version = 1;
    Fusion fusion = {1, {nodes[i], 0, 0}};
    if (found->create == new_bconv2d && static_cast<Delegate*>(delegate->data_)->fusion) {
      KBNN_RETURN_IF_ERROR(find_fusion(context, nodes.data(), count, i, &fusion));
    }
    KBNN_RETURN_IF_ERROR(context->ReplaceNodeSubsetsWithDelegateKernels(
        context, replacement, fusion.as_array(), delegate));
    for (size_t j = i; j < count; ++j) {
      for (int k = 0; k < fusion.size; ++k) {
        if (nodes[j] == fusion.nodes[k]) nodes[j] = -1;
      }
    }
  }
  return kTfLiteOk;
}

void report_option(ReportError report_error, const char* expected, const char* received) {
  if (report_error == nullptr) return;
  char message[256];
  snprintf(message, sizeof(message), "kbnn: Expected %s. Received %.100s.", expected, received);
  report_error(message);
}

void report_failure(ReportError report_error, const char* what, int threads) {
  if (report_error == nullptr) return;
  char message[256];
  snprintf(message, sizeof(message), "kbnn: Could not start a delegate of %d threads: %s.", threads,
           what);
  report_error(message);
}

bool read_threads(const char* value, int* threads) {
  char* end = nullptr;
  const long number = std::strtol(value, &end, 10);
  if (*value < '0' || *value > '9' || *end != '\0' || number < 1 || number > kMaxThreads) {
    return false;
  }
  *threads = static_cast<int>(number);
  return true;
}

TfLiteDelegate* create(char** keys, char** values, size_t count, ReportError report_error) {
  int threads = 1;
  const char* kernels_name = "auto";
  bool fusion = true;
  for (size_t i = 0; i < count; ++i) {
    if (std::strcmp(keys[i], "num_threads") == 0) {
      if (!read_threads(values[i], &threads)) {
        report_option(report_error, "num_threads to be a number from 1 to 128", values[i]);
        return nullptr;
      }
    } else if (std::strcmp(keys[i], "kernels") == 0) {
      kernels_name = values[i];
    } else if (std::strcmp(keys[i], "fusion") == 0) {
      fusion = std::strcmp(values[i], "on") == 0;
      if (!fusion && std::strcmp(values[i], "off") != 0) {
        report_option(report_error, "fusion to be \"on\" or \"off\"", values[i]);
        return nullptr;
      }
    } else {
      report_option(report_error, "the options num_threads, kernels and fusion", keys[i]);
      return nullptr;
    }
  }
  const Kernels* kernels = choose_kernels(kernels_name, detect_processor());
  if (kernels == nullptr) {
    report_option(report_error, "kernels to be \"auto\" or a set that this processor can run",
                  kernels_name);
    return nullptr;
  }
  auto* delegate = new Delegate();
  if (delegate == nullptr) {
    report_failure(report_error, "out of memory", threads);
    return nullptr;
  }
  if (!delegate->pool.start(threads)) {
    report_failure(report_error, "the system did not start a thread", threads);
    delete delegate;
    return nullptr;
  }
  delegate->resources = {kernels, &delegate->pool};
  delegate->fusion = fusion;
  delegate->interface.data_ = delegate;
  delegate->interface.Prepare = take_over_nodes;
  // Makes LiteRT apply the delegate before it prepares any node: LCE's nodes have no `prepare`.
  delegate->interface.flags = kTfLiteDelegateFlagsAllowDynamicTensors;
  return &delegate->interface;
}

}  // namespace
}  // namespace kbnn

KBNN_EXPORT TfLiteDelegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count,
                                                          void (*report_error)(const char*)) {
  return kbnn::create(keys, values, count, report_error);
}

KBNN_EXPORT void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate) {
  if (delegate != nullptr) delete static_cast<kbnn::Delegate*>(delegate->data_);
}
