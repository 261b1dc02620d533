// A QEMU plugin that counts executed instructions by their page of 4096 bytes.
//
// At exit it writes a line "PAGE COUNT" for each page to the file of the argument out=FILE. It
// counts blocks of translated code when they are entered, so it counts all instructions of the last
// block before an exception. The interface is version 1 (include/qemu/qemu-plugin.h in QEMU 4.2 to
// 8.2), declared here because Debian has no package for it.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

extern "C" {

using qemu_plugin_id_t = uint64_t;
struct qemu_plugin_tb;
struct qemu_info_t;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*callback)(qemu_plugin_id_t, qemu_plugin_tb*));
void qemu_plugin_register_vcpu_tb_exec_cb(qemu_plugin_tb* block,
                                          void (*callback)(unsigned vcpu, void* data),
                                          qemu_plugin_cb_flags flags, void* data);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id,
                                    void (*callback)(qemu_plugin_id_t, void* data), void* data);
size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb* block);
uint64_t qemu_plugin_tb_vaddr(const qemu_plugin_tb* block);

}  // extern "C"

namespace {

struct Block {
  uint64_t instructions;
  uint64_t entered = 0;
};

constexpr int kPageBits = 12;

std::mutex mutex;
// By address and length, because code that is translated again may start at the same address.
std::map<std::pair<uint64_t, uint64_t>, Block> blocks;
std::string path;

void enter(unsigned, void* data) {
  __atomic_fetch_add(&static_cast<Block*>(data)->entered, 1, __ATOMIC_RELAXED);
}

void count_block(qemu_plugin_id_t, qemu_plugin_tb* block) {
  const uint64_t count = qemu_plugin_tb_n_insns(block);
  const std::lock_guard<std::mutex> lock(mutex);
  // The nodes of a map do not move.
  auto& known = blocks.try_emplace({qemu_plugin_tb_vaddr(block), count}, Block{count})
                    .first->second;
  qemu_plugin_register_vcpu_tb_exec_cb(block, enter, QEMU_PLUGIN_CB_NO_REGS, &known);
}

void write(qemu_plugin_id_t, void*) {
  std::map<uint64_t, uint64_t> pages;
  const std::lock_guard<std::mutex> lock(mutex);
  for (const auto& [place, block] : blocks) {
    pages[place.first >> kPageBits] += block.instructions * block.entered;
  }
  FILE* const file = std::fopen(path.c_str(), "w");
  if (file == nullptr) return;
  for (const auto& [page, count] : pages) {
    if (count != 0) {
      std::fprintf(file, "%llu %llu\n", static_cast<unsigned long long>(page),
                   static_cast<unsigned long long>(count));
    }
  }
  std::fclose(file);
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id,
                                                               const qemu_info_t*, int count,
                                                               char** arguments) {
  constexpr char kName[] = "out=";
  if (count != 1 || std::strncmp(arguments[0], kName, sizeof(kName) - 1) != 0) return 1;
  path = arguments[0] + sizeof(kName) - 1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, count_block);
  qemu_plugin_register_atexit_cb(id, write, nullptr);
  return 0;
}

}  // extern "C"
