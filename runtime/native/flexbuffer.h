// Reader of the options of LCE's operators: a FlexBuffer that holds one map from names to integers.
//
// Source of the format: https://flatbuffers.dev/internals/#flexbuffers. Every offset is checked
// against the buffer: a spoiled file gets an answer, not a read beyond its end. Where we depart
// from the FlatBuffers library: a value that is no integer is refused, not converted.
#ifndef KBNN_FLEXBUFFER_H_
#define KBNN_FLEXBUFFER_H_

#include <cstddef>
#include <cstdint>

namespace kbnn {

class FlexbufferMap {
 public:
  // Over `size` bytes at `data`, which must live as long as the map.
  FlexbufferMap(const void* data, size_t size);

  // Whether the buffer's root is a map that lies within the buffer.
  bool valid() const { return valid_; }

  // The integer under `key` in `value`; false where there is no such key, the value is no integer
  // or booleans, does not fit 32 bits, or lies outside of the buffer.
  bool read_int32(const char* key, int32_t* value) const;

 private:
  bool read_unsigned(size_t position, size_t width, uint64_t* value) const;
  bool follow(size_t position, size_t width, size_t* target) const;
  bool key_equals(size_t position, const char* key) const;

  const uint8_t* data_;
  size_t size_;
  bool valid_ = false;
  size_t values_ = 0;
  size_t width_ = 0;
  size_t count_ = 0;
  size_t keys_ = 0;
  size_t key_width_ = 0;
};

}  // namespace kbnn

#endif  // KBNN_FLEXBUFFER_H_
