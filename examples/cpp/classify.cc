// Runs a model of Larq Compute Engine through TensorFlow Lite's C API and kbnn's delegate:
//
//   classify LIBRARY MODEL < input.bin
//
// LIBRARY is what `python -c "import kbnn_runtime; print(kbnn_runtime.library_path())"` prints,
// input.bin holds the bytes of the model's first input. Prints the first output, a float a line.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "tensorflow/lite/c/c_api.h"
#include "tensorflow/lite/delegates/external/external_delegate.h"

namespace {

[[noreturn]] void fail(const char* expected) {
  std::fprintf(stderr, "Expected %s.\n", expected);
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
  if (argc != 3) fail("LIBRARY MODEL");

  // The delegate must outlive the interpreter, so it is made first.
  TfLiteExternalDelegateOptions options = TfLiteExternalDelegateOptionsDefault(argv[1]);
  options.insert(&options, "num_threads", "4");
  Owned<TfLiteDelegate, TfLiteExternalDelegateDelete> delegate(
      TfLiteExternalDelegateCreate(&options));
  if (!delegate) fail("kbnn's delegate");

  Owned<TfLiteModel, TfLiteModelDelete> model(TfLiteModelCreateFromFile(argv[2]));
  if (!model) fail("a .tflite file");
  Owned<TfLiteInterpreterOptions, TfLiteInterpreterOptionsDelete> settings(
      TfLiteInterpreterOptionsCreate());
  TfLiteInterpreterOptionsSetNumThreads(settings.get(), 4);
  TfLiteInterpreterOptionsAddDelegate(settings.get(), delegate.get());
  Owned<TfLiteInterpreter, TfLiteInterpreterDelete> interpreter(
      TfLiteInterpreterCreate(model.get(), settings.get()));
  if (!interpreter || TfLiteInterpreterAllocateTensors(interpreter.get()) != kTfLiteOk) {
    fail("a model that the interpreter and the delegate can run");
  }

  TfLiteTensor* input = TfLiteInterpreterGetInputTensor(interpreter.get(), 0);
  std::vector<char> bytes(TfLiteTensorByteSize(input));
  if (std::fread(bytes.data(), 1, bytes.size(), stdin) != bytes.size()) {
    fail("as many bytes as the input has");
  }
  if (TfLiteTensorCopyFromBuffer(input, bytes.data(), bytes.size()) != kTfLiteOk ||
      TfLiteInterpreterInvoke(interpreter.get()) != kTfLiteOk) {
    fail("the model to run");
  }

  const TfLiteTensor* output = TfLiteInterpreterGetOutputTensor(interpreter.get(), 0);
  if (TfLiteTensorType(output) != kTfLiteFloat32) fail("an output of float32");
  std::vector<float> scores(TfLiteTensorByteSize(output) / sizeof(float));
  TfLiteTensorCopyToBuffer(output, scores.data(), scores.size() * sizeof(float));
  for (float score : scores) std::printf("%g\n", score);
}
