#include "synchronization.h"

#ifdef _WIN32
#include <windows.h>
#endif

namespace kbnn {

#ifdef _WIN32

namespace {

static_assert(sizeof(SRWLOCK) == sizeof(void*), "Mutex holds an SRWLOCK");
static_assert(sizeof(CONDITION_VARIABLE) == sizeof(void*), "Condition holds a CONDITION_VARIABLE");

// Null pointers are SRWLOCK_INIT and CONDITION_VARIABLE_INIT. Neither needs to be destroyed.
SRWLOCK* as_lock(void** native) { return reinterpret_cast<SRWLOCK*>(native); }
CONDITION_VARIABLE* as_condition(void** native) {
  return reinterpret_cast<CONDITION_VARIABLE*>(native);
}

}  // namespace

Mutex::~Mutex() = default;
void Mutex::lock() { AcquireSRWLockExclusive(as_lock(&native_)); }
bool Mutex::try_lock() { return TryAcquireSRWLockExclusive(as_lock(&native_)) != 0; }
void Mutex::unlock() { ReleaseSRWLockExclusive(as_lock(&native_)); }

Condition::~Condition() = default;
void Condition::wait(Mutex* mutex) {
  SleepConditionVariableSRW(as_condition(&native_), as_lock(&mutex->native_), INFINITE, 0);
}
void Condition::notify_all() { WakeAllConditionVariable(as_condition(&native_)); }
void Condition::reset_after_fork() {}

#else

Mutex::~Mutex() { pthread_mutex_destroy(&native_); }
void Mutex::lock() { pthread_mutex_lock(&native_); }
bool Mutex::try_lock() { return pthread_mutex_trylock(&native_) == 0; }
void Mutex::unlock() { pthread_mutex_unlock(&native_); }

Condition::~Condition() { pthread_cond_destroy(&native_); }
void Condition::wait(Mutex* mutex) { pthread_cond_wait(&native_, &mutex->native_); }
void Condition::notify_all() { pthread_cond_broadcast(&native_); }
void Condition::reset_after_fork() { native_ = PTHREAD_COND_INITIALIZER; }

#endif

}  // namespace kbnn
