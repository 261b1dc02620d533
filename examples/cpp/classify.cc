// Runs a model of Larq Compute Engine with TensorFlow Lite's C API and kbnn's delegate:
//
//   classify LIBRARY MODEL < input.bin
//
// LIBRARY is the path that `python -c "import kbnn_runtime; print(kbnn_runtime.library_path())"`
// prints. input.bin contains the bytes of the model's first input. The program prints the first
// output, one float per line.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

// The headers of LiteRT's repository, or of TensorFlow's.
#if __has_include("tflite/c/c_api.h")
#include "tflite/c/c_api.h"
#include "tflite/delegates/external/external_delegate.h"
#else
#include "tensorflow/lite/c/c_api.h"
#include "tensorflow/lite/delegates/external/external_delegate.h"
#endif

namespace {

[[noreturn]] void fail(const char* message) {
  std::fprintf(stderr, "%s\n", message);
  std::exit(1);
}

template <typename T, void (*destroy)(T*)>
struct Destroy {
  void operator()(T* object) const { destroy(object); }
};
template <typename T, void (*destroy)(T*)>
using Owned = std::unique_ptr<T, Destroy<T, destroy>>;

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) fail("Usage: classify LIBRARY MODEL < input.bin");

  // Created first, because the delegate must outlive the interpreter.
  TfLiteExternalDelegateOptions options = TfLiteExternalDelegateOptionsDefault(argv[1]);
  options.insert(&options, "num_threads", "4");
  Owned<TfLiteDelegate, TfLiteExternalDelegateDelete> delegate(
      TfLiteExternalDelegateCreate(&options));
  if (!delegate) fail("Could not load kbnn's delegate.");

  Owned<TfLiteModel, TfLiteModelDelete> model(TfLiteModelCreateFromFile(argv[2]));
  if (!model) fail("Could not read the .tflite file.");
  Owned<TfLiteInterpreterOptions, TfLiteInterpreterOptionsDelete> settings(
      TfLiteInterpreterOptionsCreate());
  TfLiteInterpreterOptionsSetNumThreads(settings.get(), 4);
  TfLiteInterpreterOptionsAddDelegate(settings.get(), delegate.get());
  Owned<TfLiteInterpreter, TfLiteInterpreterDelete> interpreter(
      TfLiteInterpreterCreate(model.get(), settings.get()));
  if (!interpreter || TfLiteInterpreterAllocateTensors(interpreter.get()) != kTfLiteOk) {
    fail("The interpreter or the delegate cannot run this model.");
  }

  TfLiteTensor* input = TfLiteInterpreterGetInputTensor(interpreter.get(), 0);
  std::vector<char> bytes(TfLiteTensorByteSize(input));
  if (std::fread(bytes.data(), 1, bytes.size(), stdin) != bytes.size()) {
    fail("input.bin has fewer bytes than the model's input.");
  }
  if (TfLiteTensorCopyFromBuffer(input, bytes.data(), bytes.size()) != kTfLiteOk ||
      TfLiteInterpreterInvoke(interpreter.get()) != kTfLiteOk) {
    fail("Running the model failed.");
  }

  const TfLiteTensor* output = TfLiteInterpreterGetOutputTensor(interpreter.get(), 0);
  if (TfLiteTensorType(output) != kTfLiteFloat32) fail("The model's output is not float32.");
  std::vector<float> scores(TfLiteTensorByteSize(output) / sizeof(float));
  TfLiteTensorCopyToBuffer(output, scores.data(), scores.size() * sizeof(float));
  for (float score : scores) std::printf("%g\n", score);
}
