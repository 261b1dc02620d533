// Threads that share the tasks of one operator at a time.
#ifndef KBNN_THREAD_POOL_H_
#define KBNN_THREAD_POOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#ifndef _WIN32
#include <pthread.h>
#include <sys/types.h>
#endif

#include "synchronization.h"

namespace kbnn {

constexpr int kMaxThreads = 128;

class ThreadPool {
 public:
  // `worker` is 0 for the thread that called `run`, and always below `size()`. No two tasks of a
  // run that execute at the same time have the same worker.
  using Task = void (*)(void* argument, size_t task, int worker);

  ThreadPool() = default;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  // Starts threads - 1 threads, 1 <= threads <= kMaxThreads. False if the system starts fewer.
  bool start(int threads);

  // Threads that work on a run, including the caller's.
  int size() const { return started_ + 1; }

  // Calls task(argument, i, worker) once for each i < tasks, and returns when all have returned.
  // Allocates nothing. Several threads may call `run`: while one run is in progress, the tasks of
  // another run execute in its caller's thread. A sleeping thread is woken but not waited for; it
  // misses the run if the others finish first. A forked child has no worker threads, so all tasks
  // execute in the caller's.
  void run(size_t tasks, Task task, void* argument);

 private:
  struct Worker {
    ThreadPool* pool;
    int index;
#ifdef _WIN32
    void* thread;
#else
    pthread_t thread;
#endif
  };

  static void work(Worker* worker);
#ifdef _WIN32
  static unsigned long __stdcall entry(void* worker);
#else
  static void* entry(void* worker);
#endif
  void take_tasks(int worker);
  // Whether this process is a fork of the one that started the threads.
  bool forked() const;

  Mutex running_;  // held by the one caller whose run is shared
  Mutex state_;    // guards open_, stopping_, sleepers_, and what a run publishes
  Condition wake_;
  bool open_ = false;
  int sleepers_ = 0;
  size_t tasks_ = 0;
  Task task_ = nullptr;
  void* argument_ = nullptr;
  std::atomic<bool> stopping_{false};
  std::atomic<uint32_t> generation_{0};  // counts runs
  std::atomic<size_t> next_{0};
  std::atomic<int> active_{0};
  Worker workers_[kMaxThreads];
  int started_ = 0;
#ifndef _WIN32
  pid_t owner_ = 0;
#endif
};

}  // namespace kbnn

#endif  // KBNN_THREAD_POOL_H_
