// Tests that the thread pool executes every task of a run exactly once, and only one task of a
// worker at a time, while other threads run tasks too.
//
// Also built with ThreadSanitizer. Exits with 1 at the first fault.
#include "thread_pool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <atomic>
#include <vector>

namespace {

constexpr size_t kTasks = 37;

struct Run {
  int size;
  std::vector<int> times;      // no lock: only one thread executes a task
  std::vector<int> of_worker;  // no lock: a worker executes one task at a time
  std::vector<std::atomic<int>> in_progress;

  explicit Run(int workers)
      : size(workers), times(kTasks), of_worker(workers), in_progress(workers) {}
};

void expect(bool holds, const char* what) {
  if (holds) return;
  printf("Expected %s.\n", what);
  exit(1);
}

void task(void* argument, size_t index, int worker) {
  Run& run = *static_cast<Run*>(argument);
  expect(worker >= 0 && worker < run.size, "a worker below the pool's size");
  expect(run.in_progress[worker].fetch_add(1) == 0, "one task of a worker at a time");
  ++run.times[index];
  ++run.of_worker[worker];
  run.in_progress[worker].fetch_sub(1);
}

void run_once(kbnn::ThreadPool* pool, size_t tasks) {
  Run run(pool->size());
  pool->run(tasks, task, &run);
  for (size_t i = 0; i < kTasks; ++i) expect(run.times[i] == (i < tasks), "each task once");
  int total = 0;
  for (int count : run.of_worker) total += count;
  expect(total == static_cast<int>(tasks), "as many tasks as were asked for");
}

void* call_many(void* pool) {
  for (size_t i = 0; i < 2000; ++i) run_once(static_cast<kbnn::ThreadPool*>(pool), i % kTasks);
  return nullptr;
}

}  // namespace

int main() {
  for (int threads : {1, 2, 3, 8}) {
    kbnn::ThreadPool pool;
    expect(pool.start(threads), "threads");
    expect(pool.size() == threads, "as many threads as were started");
    pthread_t callers[3];
    for (pthread_t& caller : callers) pthread_create(&caller, nullptr, call_many, &pool);
    for (pthread_t& caller : callers) pthread_join(caller, nullptr);
  }
  // Destroyed without any run, and while the workers sleep.
  for (int i = 0; i < 200; ++i) {
    kbnn::ThreadPool pool;
    expect(pool.start(4), "threads");
    if (i % 2 == 1) run_once(&pool, kTasks);
  }
  printf("thread pool: no fault\n");
  return 0;
}
