#include "thread_pool.h"

#ifdef _WIN32
#include <windows.h>
#else
#include <sched.h>
#include <unistd.h>
#endif

namespace kbnn {
namespace {

// About 20 to 50 microseconds: enough to bridge two operators of a network, and little enough that
// an idle interpreter costs nothing.
constexpr int kSpins = 2000;

void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("yield");
#endif
}

void yield_processor() {
#ifdef _WIN32
  SwitchToThread();
#else
  sched_yield();
#endif
}

}  // namespace

bool ThreadPool::start(int threads) {
#ifndef _WIN32
  owner_ = getpid();
#endif
  // std::thread would throw if the system cannot start a thread.
  while (started_ < threads - 1) {
    Worker& worker = workers_[started_];
    worker.pool = this;
    worker.index = started_ + 1;
#ifdef _WIN32
    worker.thread = CreateThread(nullptr, 0, entry, &worker, 0, nullptr);
    if (worker.thread == nullptr) return false;
#else
    if (pthread_create(&worker.thread, nullptr, entry, &worker) != 0) return false;
#endif
    ++started_;
  }
  return true;
}

ThreadPool::~ThreadPool() {
  if (forked()) {
    // There is no thread to join.
    wake_.reset_after_fork();
    return;
  }
  {
    MutexLock lock(&state_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (int i = 0; i < started_; ++i) {
#ifdef _WIN32
    WaitForSingleObject(workers_[i].thread, INFINITE);
    CloseHandle(workers_[i].thread);
#else
    pthread_join(workers_[i].thread, nullptr);
#endif
  }
}

#ifdef _WIN32
unsigned long __stdcall ThreadPool::entry(void* worker) {
  work(static_cast<Worker*>(worker));
  return 0;
}
#else
void* ThreadPool::entry(void* worker) {
  work(static_cast<Worker*>(worker));
  return nullptr;
}
#endif

void ThreadPool::run(size_t tasks, Task task, void* argument) {
  if (started_ == 0 || tasks <= 1 || forked() || !running_.try_lock()) {
    for (size_t i = 0; i < tasks; ++i) task(argument, i, 0);
    return;
  }
  bool someone_sleeps;
  {
    MutexLock lock(&state_);
    tasks_ = tasks;
    task_ = task;
    argument_ = argument;
    next_.store(0, std::memory_order_relaxed);
    open_ = true;
    generation_.fetch_add(1, std::memory_order_release);
    someone_sleeps = sleepers_ > 0;
  }
  if (someone_sleeps) wake_.notify_all();
  take_tasks(0);
  {
    MutexLock lock(&state_);
    open_ = false;
  }
  for (int spins = 0; active_.load(std::memory_order_acquire) > 0; ++spins) {
    if (spins < kSpins) {
      pause_briefly();
    } else {
      yield_processor();
    }
  }
  running_.unlock();
}

bool ThreadPool::forked() const {
#ifdef _WIN32
  return false;
#else
  return started_ > 0 && getpid() != owner_;
#endif
}

void ThreadPool::work(Worker* worker) {
  ThreadPool& pool = *worker->pool;
  uint32_t seen = 0;
  for (;;) {
    for (int spins = 0; spins < kSpins; ++spins) {
      if (pool.generation_.load(std::memory_order_relaxed) != seen || pool.stopping_) break;
      pause_briefly();
    }
    {
      MutexLock lock(&pool.state_);
      ++pool.sleepers_;
      while (!pool.stopping_ && pool.generation_.load(std::memory_order_relaxed) == seen) {
        pool.wake_.wait(&pool.state_);
      }
      --pool.sleepers_;
      if (pool.stopping_) return;
      seen = pool.generation_.load(std::memory_order_relaxed);
      if (!pool.open_) continue;
      pool.active_.fetch_add(1, std::memory_order_relaxed);
    }
    pool.take_tasks(worker->index);
    pool.active_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::take_tasks(int worker) {
  for (;;) {
    const size_t i = next_.fetch_add(1, std::memory_order_relaxed);
    if (i >= tasks_) return;
    task_(argument_, i, worker);
  }
}

}  // namespace kbnn
