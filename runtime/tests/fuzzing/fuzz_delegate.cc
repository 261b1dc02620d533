// A libFuzzer target. It makes an operator from the fuzzer's bytes and runs it in the delegate,
// with one input shape and then with another. fuzz.py builds it with sanitizers.
#include "fake_interpreter.h"

namespace {

// Limits on the bytes of a tensor and the bit operations of a run. Larger cases only take time.
constexpr size_t kMaxBytes = size_t{1} << 22;
constexpr double kMaxWork = 2e7;

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t next() { return size_ == 0 ? 0 : (--size_, *data_++); }
  int choose(const std::vector<int>& values) { return values[next() % values.size()]; }
  // A size: usually small, sometimes an extreme value.
  int size() {
    const uint8_t kind = next();
    if (kind < 200) return kind % 12 + 1;
    return choose({0, -1, 31, 32, 33, 64, 100, 1000, 65536, 1 << 30, INT32_MAX, INT32_MIN});
  }
  std::vector<int> shape(int rank) {
    std::vector<int> sizes;
    for (int i = 0; i < rank; ++i) sizes.push_back(size());
    return sizes;
  }
  std::vector<uint8_t> take(size_t count) {
    std::vector<uint8_t> taken;
    for (size_t i = 0; i < count; ++i) taken.push_back(next());
    return taken;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

void append(std::vector<uint8_t>* to, int64_t value, int width) {
  for (int i = 0; i < width; ++i) to->push_back(static_cast<uint8_t>(value >> 8 * i));
}

// Builds a FlexBuffer that holds a map of 32-bit integers.
std::vector<uint8_t> make_options(const std::vector<std::pair<const char*, int>>& values) {
  std::vector<uint8_t> buffer;
  std::vector<size_t> names;
  for (const auto& value : values) {
    names.push_back(buffer.size());
    for (const char* c = value.first; *c != '\0'; ++c) buffer.push_back(static_cast<uint8_t>(*c));
    buffer.push_back(0);
  }
  append(&buffer, static_cast<int64_t>(values.size()), 4);
  const size_t keys = buffer.size();
  for (size_t name : names) append(&buffer, static_cast<int64_t>(buffer.size() - name), 4);
  append(&buffer, static_cast<int64_t>(buffer.size() - keys), 4);
  append(&buffer, 4, 4);
  append(&buffer, static_cast<int64_t>(values.size()), 4);
  const size_t map = buffer.size();
  for (const auto& value : values) append(&buffer, value.second, 4);
  for (size_t i = 0; i < values.size(); ++i) buffer.push_back(1 << 2 | 2);  // an int of 4 bytes
  append(&buffer, static_cast<int64_t>(buffer.size() - map), 4);
  buffer.push_back(9 << 2 | 2);  // a map of 4-byte values
  buffer.push_back(4);
  return buffer;
}

// Sometimes changes a byte, or truncates the options.
std::vector<uint8_t> corrupt(Bytes* bytes, std::vector<uint8_t> options) {
  const uint8_t kind = bytes->next();
  if (kind < 180 || options.empty()) return options;
  if (kind < 220) {
    options[bytes->next() % options.size()] = bytes->next();
  } else {
    options.resize(bytes->next() % options.size());
  }
  return options;
}

size_t element_count(const std::vector<int>& shape) {
  size_t count = 1;
  for (int size : shape) count = size < 0 || count > kMaxBytes ? kMaxBytes + 1 : count * size;
  return count;
}

TfLiteType any_type(Bytes* bytes, TfLiteType likely) {
  const int types[] = {0, 1, 2, 3, 6, 9};
  const uint8_t kind = bytes->next();
  return kind < 240 ? likely : static_cast<TfLiteType>(types[kind % 6]);
}

// Adds a constant, sometimes with fewer bytes than its shape needs.
int add_constant(Bytes* bytes, kbnn::FakeInterpreter* interpreter, TfLiteType type,
                 const std::vector<int>& shape) {
  size_t count = 4 * element_count(shape);
  if (count > kMaxBytes) count = 16;
  if (bytes->next() > 245) count = count > 4 ? count - 4 : 0;
  const std::vector<uint8_t> values = bytes->take(count);
  return interpreter->add_tensor(any_type(bytes, type), shape, 0, 0, &values);
}

double count_work(const kbnn::FakeInterpreter& interpreter, const std::vector<int>& inputs,
                  int output) {
  double total = 1;
  const TfLiteIntArray* sizes = interpreter.tensor(output).dims;
  for (int i = 0; i < sizes->size; ++i) total *= sizes->data[i];
  if (inputs.size() < 2) return total;
  const TfLiteIntArray* filter = interpreter.tensor(inputs[1]).dims;
  for (int i = 1; i < filter->size; ++i) total *= filter->data[i];
  return total * 32;
}

// A residual of the output's shape; sometimes of one image, or of another shape.
void fit_residual(Bytes* bytes, kbnn::FakeInterpreter* interpreter, int residual, int output) {
  const TfLiteIntArray* sizes = interpreter->tensor(output).dims;
  std::vector<int> shape(sizes->data, sizes->data + sizes->size);
  const uint8_t kind = bytes->next();
  if (kind > 200 && !shape.empty()) shape[0] = 1;
  if (kind > 240) shape = bytes->shape(4);
  interpreter->resize(residual, shape);
}

// `residual` is -1, or a tensor that needs the shape of the tensor after it, which is their sum. If
// the ADD is fused with the operator, only the sum gets the output's sizes; the output keeps the
// model's.
void run(Bytes* bytes, kbnn::FakeInterpreter* interpreter, const std::vector<int>& inputs,
         int output, int rank, int residual = -1) {
  const int sum = residual < 0 ? output : residual + 1;
  for (int round = 0; round < 2; ++round) {
    bool prepared = interpreter->prepare();
    if (residual >= 0) {
      // The first `prepare` sized the output, whatever the shape of the residual.
      fit_residual(bytes, interpreter, residual, sum);
      prepared = interpreter->prepare();
    }
    if (!prepared || !interpreter->allocate(kMaxBytes) ||
        count_work(*interpreter, inputs, output) > kMaxWork ||
        count_work(*interpreter, inputs, sum) > kMaxWork || !interpreter->invoke()) {
      return;
    }
    interpreter->resize(inputs[0], bytes->shape(rank));
  }
}

// Adds an ADD of `convolved` and a residual, and returns the residual; the tensor after it is the
// sum. The ADD can usually be fused with the convolution, sometimes together with an LceQuantize
// after it.
int add_residual(Bytes* bytes, kbnn::FakeInterpreter* interpreter, int convolved) {
  const std::vector<int> shape = bytes->next() > 250 ? bytes->shape(4) : std::vector<int>(4, 1);
  const int residual =
      interpreter->add_tensor(any_type(bytes, kTfLiteFloat32), shape, 0, 0, nullptr);
  const int sum =
      interpreter->add_tensor(any_type(bytes, kTfLiteFloat32), {1, 1, 1, 1}, 0, 0, nullptr);
  const int words =
      interpreter->add_tensor(any_type(bytes, kTfLiteInt32), {1, 1, 1, 1}, 0, 0, nullptr);
  std::vector<int> addends = {convolved, residual};
  if (bytes->next() % 2 == 0) addends = {residual, convolved};
  if (bytes->next() > 250) addends.pop_back();
  interpreter->add_sum(addends, bytes->next() > 250 ? bytes->choose({-1, 1000}) : sum,
                       bytes->next() > 250 ? 1 : 0);
  std::vector<int> outputs = {sum};
  if (bytes->next() % 2 == 0) {
    interpreter->add_node("LceQuantize", {sum}, {words}, {});
    outputs.push_back(words);
  }
  if (bytes->next() > 250) outputs.push_back(convolved);
  interpreter->set_outputs(outputs);
  return residual;
}

void fuzz_convolution(Bytes* bytes, TfLiteDelegate* delegate) {
  kbnn::FakeInterpreter interpreter;
  // Must come first, since the constants use up the remaining bytes.
  const bool with_sum = bytes->next() % 2 == 1;
  const int channels_in = bytes->choose({1, 31, 32, 33, 64, 96, 128, 160, 4096, 0, -5, INT32_MAX});
  const int words = channels_in > 0 && channels_in < 5000 ? (channels_in + 31) / 32 : bytes->size();
  const int groups = bytes->choose({1, 1, 1, 2, 3, 5});
  const int channels = groups * (1 + bytes->next() % 40);
  std::vector<int> shape = bytes->shape(4), filter = bytes->shape(4);
  if (bytes->next() < 230) shape[3] = words;
  if (bytes->next() < 230) filter = {channels, filter[1], filter[2], words / groups};
  const TfLiteType output_type = static_cast<TfLiteType>(
      bytes->choose({kTfLiteFloat32, kTfLiteInt8, kTfLiteInt32, kTfLiteBool}));
  std::vector<int> inputs;
  inputs.push_back(interpreter.add_tensor(any_type(bytes, kTfLiteInt32), shape, 0, 0, nullptr));
  inputs.push_back(add_constant(bytes, &interpreter, kTfLiteInt32, filter));
  for (TfLiteType type : {kTfLiteFloat32, kTfLiteFloat32, kTfLiteInt32}) {
    const bool left_out = bytes->next() > 230;
    inputs.push_back(left_out ? bytes->choose({-1, -2, 100})
                              : add_constant(bytes, &interpreter, type, {filter[0]}));
  }
  if (bytes->next() > 250) inputs.pop_back();
  const int output = interpreter.add_tensor(output_type, {1, 1, 1, 1},
                                            static_cast<float>(bytes->choose({1, 0, -1, 3})) / 8,
                                            bytes->choose({0, -128, 127, 5, INT32_MAX}), nullptr);
  interpreter.add_node(
      "LceBconv2d", inputs, {output},
      corrupt(bytes, make_options({{"channels_in", channels_in},
                                   {"dilation_height_factor", bytes->size()},
                                   {"dilation_width_factor", bytes->size()},
                                   {"fused_activation_function", bytes->next() % 5},
                                   {"pad_values", bytes->next() % 2},
                                   {"padding", bytes->next() % 2},
                                   {"stride_height", bytes->size()},
                                   {"stride_width", bytes->size()}})));
  const int residual = with_sum ? add_residual(bytes, &interpreter, output) : -1;
  if (interpreter.apply(delegate)) run(bytes, &interpreter, inputs, output, 4, residual);
}

void fuzz_pool(Bytes* bytes, TfLiteDelegate* delegate) {
  kbnn::FakeInterpreter interpreter;
  const int input =
      interpreter.add_tensor(any_type(bytes, kTfLiteInt32), bytes->shape(4), 0, 0, nullptr);
  const int output = interpreter.add_tensor(any_type(bytes, kTfLiteInt32), {1}, 0, 0, nullptr);
  interpreter.add_node("LceBMaxPool2d", {input}, {output},
                       corrupt(bytes, make_options({{"filter_height", bytes->size()},
                                                    {"filter_width", bytes->size()},
                                                    {"padding", bytes->next() % 2},
                                                    {"stride_height", bytes->size()},
                                                    {"stride_width", bytes->size()}})));
  if (interpreter.apply(delegate)) run(bytes, &interpreter, {input}, output, 4);
}

void fuzz_quantization(Bytes* bytes, TfLiteDelegate* delegate, bool quantize) {
  kbnn::FakeInterpreter interpreter;
  const int rank = bytes->choose({1, 2, 3, 4, 0, 8, 9});
  std::vector<int> shape = bytes->shape(rank), words = shape;
  if (rank > 0 && words[rank - 1] > 0)
    words[rank - 1] = words[rank - 1] / 32 + (words[rank - 1] % 32 != 0);
  if (bytes->next() > 240) words = bytes->shape(rank);
  const float scale = static_cast<float>(bytes->choose({1, 0, -1, 300})) / 256;
  const int zero_point = bytes->choose({0, -128, 127, 5, 1000, INT32_MAX, INT32_MIN});
  const TfLiteType type =
      static_cast<TfLiteType>(bytes->choose({kTfLiteFloat32, kTfLiteInt8, kTfLiteBool}));
  const int values =
      interpreter.add_tensor(any_type(bytes, type), shape, scale, zero_point, nullptr);
  const int packed = interpreter.add_tensor(any_type(bytes, kTfLiteInt32), words, 0, 0, nullptr);
  const int input = quantize ? values : packed;
  const int output = quantize ? packed : values;
  interpreter.add_node(quantize ? "LceQuantize" : "LceDequantize", {input}, {output},
                       bytes->take(bytes->next() % 8));
  if (interpreter.apply(delegate)) run(bytes, &interpreter, {input}, output, rank);
}

TfLiteDelegate* make_delegate(const char* kernels, const char* threads) {
  char keys[2][16] = {"kernels", "num_threads"};
  char values[2][32];
  snprintf(values[0], sizeof(values[0]), "%s", kernels);
  snprintf(values[1], sizeof(values[1]), "%s", threads);
  char* key_list[] = {keys[0], keys[1]};
  char* value_list[] = {values[0], values[1]};
  return tflite_plugin_create_delegate(key_list, value_list, 2, nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Every kernel set that the processor can run. They are never destroyed.
  static const std::vector<TfLiteDelegate*>* const delegates = [] {
    auto* made = new std::vector<TfLiteDelegate*>;
    for (const char* kernels : {"portable", "avx2", "avx512", "avx512_vpopcntdq", "neon"}) {
      TfLiteDelegate* delegate = make_delegate(kernels, "1");
      if (delegate == nullptr) continue;
      made->push_back(delegate);
      made->push_back(make_delegate(kernels, "2"));
      fprintf(stderr, "kernels: %s\n", kernels);  // fuzz.py reads this
    }
    return made;
  }();
  Bytes bytes(data, size);
  const int kind = bytes.next() % 8;
  TfLiteDelegate* delegate = (*delegates)[bytes.next() % delegates->size()];
  if (kind < 5) {
    fuzz_convolution(&bytes, delegate);
  } else if (kind == 5) {
    fuzz_pool(&bytes, delegate);
  } else {
    fuzz_quantization(&bytes, delegate, kind == 6);
  }
  return 0;
}
