#include "flexbuffer.h"

#include <climits>
#include <cstring>

namespace kbnn {
namespace {

// Types of the format. A packed type has the type in its upper six bits and the logarithm of the
// width in bytes in its lower two.
enum { kInt = 1, kUnsigned = 2, kIndirectInt = 6, kIndirectUnsigned = 7, kMap = 9, kBool = 26 };

bool is_width(uint64_t width) { return width == 1 || width == 2 || width == 4 || width == 8; }

int64_t sign_extend(uint64_t value, size_t width) {
  const int unused = 64 - 8 * static_cast<int>(width);
  return static_cast<int64_t>(value << unused) >> unused;
}

}  // namespace

FlexbufferMap::FlexbufferMap(const void* data, size_t size)
    : data_(static_cast<const uint8_t*>(data)), size_(data == nullptr ? 0 : size) {
  // The buffer ends with the root value, its packed type and its width.
  if (size_ < 3) return;
  const uint64_t root_width = data_[size_ - 1];
  const int root_type = data_[size_ - 2] >> 2;
  if (root_type != kMap || !is_width(root_width) || size_ < 2 + root_width) return;
  width_ = size_t{1} << (data_[size_ - 2] & 3);
  if (!follow(size_ - 2 - static_cast<size_t>(root_width), static_cast<size_t>(root_width),
              &values_)) {
    return;
  }
  // Before the values: the offset of the keys, their width, and the count.
  uint64_t count, key_width;
  if (values_ < 3 * width_ || !follow(values_ - 3 * width_, width_, &keys_) ||
      !read_unsigned(values_ - 2 * width_, width_, &key_width) || !is_width(key_width) ||
      !read_unsigned(values_ - width_, width_, &count)) {
    return;
  }
  // After the values: one byte of type for each.
  key_width_ = static_cast<size_t>(key_width);
  if (count > (size_ - values_) / (width_ + 1) || count > (size_ - keys_) / key_width_) return;
  count_ = static_cast<size_t>(count);
  valid_ = true;
}

bool FlexbufferMap::read_int32(const char* key, int32_t* value) const {
  if (!valid_) return false;
  for (size_t i = 0; i < count_; ++i) {
    size_t name;
    if (!follow(keys_ + i * key_width_, key_width_, &name) || !key_equals(name, key)) continue;
    const uint8_t packed_type = data_[values_ + count_ * width_ + i];
    const int type = packed_type >> 2;
    size_t position = values_ + i * width_;
    size_t width = width_;
    if (type == kIndirectInt || type == kIndirectUnsigned) {
      if (!follow(position, width_, &position)) return false;
      width = size_t{1} << (packed_type & 3);
    } else if (type != kInt && type != kUnsigned && type != kBool) {
      return false;
    }
    uint64_t bits;
    if (!read_unsigned(position, width, &bits)) return false;
    if (type == kInt || type == kIndirectInt) {
      const int64_t number = sign_extend(bits, width);
      if (number < INT32_MIN || number > INT32_MAX) return false;
      *value = static_cast<int32_t>(number);
      return true;
    }
    if (bits > INT32_MAX) return false;
    *value = static_cast<int32_t>(bits);
    return true;
  }
  return false;
}

bool FlexbufferMap::read_unsigned(size_t position, size_t width, uint64_t* value) const {
  if (position > size_ || width > size_ - position) return false;
  *value = 0;
  for (size_t i = 0; i < width; ++i) *value |= uint64_t{data_[position + i]} << (8 * i);
  return true;
}

// An offset counts backwards from its own position.
bool FlexbufferMap::follow(size_t position, size_t width, size_t* target) const {
  uint64_t offset;
  if (!read_unsigned(position, width, &offset) || offset > position) return false;
  *target = position - static_cast<size_t>(offset);
  return true;
}

bool FlexbufferMap::key_equals(size_t position, const char* key) const {
  const size_t length = std::strlen(key) + 1;
  return position <= size_ && length <= size_ - position &&
         std::memcmp(data_ + position, key, length) == 0;
}

}  // namespace kbnn
