// The operating system's mutex and condition variable.
//
// The library uses only headers of the C++ library. Linking std::mutex and std::condition_variable
// would take a static copy of it, which a cross compiler first has to build for each platform.
#ifndef KBNN_SYNCHRONIZATION_H_
#define KBNN_SYNCHRONIZATION_H_

#ifndef _WIN32
#include <pthread.h>
#endif

namespace kbnn {

class Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  ~Mutex();

  void lock();
  bool try_lock();
  void unlock();

 private:
  friend class Condition;
#ifdef _WIN32
  void* native_ = nullptr;  // an SRWLOCK
#else
  pthread_mutex_t native_ = PTHREAD_MUTEX_INITIALIZER;
#endif
};

// Holds a mutex during its lifetime.
class MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) : mutex_(mutex) { mutex_->lock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;
  ~MutexLock() { mutex_->unlock(); }

 private:
  Mutex* mutex_;
};

class Condition {
 public:
  Condition() = default;
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;
  ~Condition();

  // Unlocks `mutex`, waits, and locks it again. May return without a notification.
  void wait(Mutex* mutex);
  void notify_all();

  // Forgets the threads that wait. Only for a forked child, which does not have them: there the
  // destructor would wait for them.
  void reset_after_fork();

 private:
#ifdef _WIN32
  void* native_ = nullptr;  // a CONDITION_VARIABLE
#else
  pthread_cond_t native_ = PTHREAD_COND_INITIALIZER;
#endif
};

}  // namespace kbnn

#endif  // KBNN_SYNCHRONIZATION_H_
