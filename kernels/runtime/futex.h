// Waiting on a word of memory: a thread sleeps in the kernel until another one, of this process or of another that maps the
// same memory, changes the word and wakes it. No polling.
//
//   waiter    seen = word; look for work; none: wait(word, seen)        waker    word += 1 (release); wake_all(word)
//
// A change between the look and the wait is not lost: the kernel compares the word with `seen` before it sleeps.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace apam::futex {

/// Without a lock of its own, so that it works between processes. Zero bytes are a word of 0.
using Word = std::atomic<std::uint32_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == 4);

/// Sleeps while the word is `seen`, at most for `timeout`. May also return without a reason: look again. False if the time is
/// up. Throws DeviceError if the kernel refuses.
bool wait(const Word& word, std::uint32_t seen, std::chrono::nanoseconds timeout);

/// Wakes all that wait for the word. Throws DeviceError if the kernel refuses.
void wake_all(const Word& word);

/// Adds 1, making earlier writes visible to those that read the new value, and wakes all that wait.
inline void signal(Word& word) {
  word.fetch_add(1, std::memory_order_release);
  wake_all(word);
}

}  // namespace apam::futex
