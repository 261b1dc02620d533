// A reader of the options of LCE's operators: a FlexBuffer that holds one map of names to integers.
//
// The format: https://flatbuffers.dev/internals/#flexbuffers. Every offset is checked against the
// buffer, so a corrupt file is reported and never read beyond its end. Unlike the FlatBuffers
// library, this reader rejects a value that is not an integer instead of converting it.
#ifndef KBNN_FLEXBUFFER_H_
#define KBNN_FLEXBUFFER_H_

#include <cstddef>
#include <cstdint>

namespace kbnn {

class FlexbufferMap {
 public:
  // Reads `size` bytes at `data`, which must outlive the map.
  FlexbufferMap(const void* data, size_t size);

  // Whether the root is a map that lies within the buffer.
  bool valid() const { return valid_; }

  // Sets `value` to the integer under `key`. False if there is no such key, or its value is neither
  // an integer nor a boolean, does not fit 32 bits, or lies outside the buffer.
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
