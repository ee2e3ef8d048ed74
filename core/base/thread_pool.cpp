#include "core/base/thread_pool.h"

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr int spins_before_sleep = 2000;  // about 20-50 us: longer than the gap between two products of a layer

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

std::size_t available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  const int count = CPU_COUNT(&set);
  return count > 0 ? static_cast<std::size_t>(count) : 1;
}

struct ThreadPool::State {
  std::vector<std::thread> workers;
  std::atomic<std::uint64_t> generation{0};  // counts run() calls; a worker waits for it to change
  std::atomic<std::size_t> next{0};          // next index to hand out
  std::atomic<std::size_t> busy{0};          // workers that have not finished the current generation
  std::atomic<bool> stop{false};
  std::atomic<bool> running{false};
  std::size_t count = 0;
  const Task* task = nullptr;
  std::mutex failure_mutex;
  std::exception_ptr failure;

  void work(std::size_t worker) {
    for (std::size_t index; (index = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
      try {
        (*task)(index, worker);
      } catch (...) {
        const std::lock_guard lock(failure_mutex);
        if (!failure) failure = std::current_exception();
        next.store(count, std::memory_order_relaxed);
      }
    }
  }

  void worker_loop(std::size_t worker) {
    for (std::uint64_t seen = 0;;) {
      for (int spin = 0; spin < spins_before_sleep && generation.load(std::memory_order_acquire) == seen; ++spin) pause();
      generation.wait(seen, std::memory_order_acquire);
      seen = generation.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_acquire)) return;
      work(worker);
      if (busy.fetch_sub(1, std::memory_order_acq_rel) == 1) busy.notify_one();
    }
  }

  void wait_for_workers() {
    for (int spin = 0; spin < spins_before_sleep && busy.load(std::memory_order_acquire) != 0; ++spin) pause();
    for (std::size_t left; (left = busy.load(std::memory_order_acquire)) != 0;) busy.wait(left, std::memory_order_acquire);
  }
};

ThreadPool::ThreadPool(std::size_t threads, std::function<void()> on_start) : state_(std::make_unique<State>()) {
  if (threads == 0) threads = available_cores();
  if (on_start) on_start();
  for (std::size_t worker = 1; worker < threads; ++worker) {
    state_->workers.emplace_back([state = state_.get(), worker, on_start] {
      if (on_start) on_start();
      state->worker_loop(worker);
    });
  }
}

ThreadPool::~ThreadPool() {
  state_->stop.store(true, std::memory_order_release);
  state_->generation.fetch_add(1, std::memory_order_acq_rel);
  state_->generation.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

std::size_t ThreadPool::threads() const { return state_->workers.size() + 1; }

void ThreadPool::run(std::size_t count, const Task& task) {
  if (count == 0) return;
  VITRINE_CHECK(!state_->running.exchange(true));
  state_->task = &task;
  state_->count = count;
  state_->failure = nullptr;
  state_->next.store(0, std::memory_order_relaxed);
  const bool alone = count == 1 || state_->workers.empty();
  if (!alone) {
    state_->busy.store(state_->workers.size(), std::memory_order_relaxed);
    state_->generation.fetch_add(1, std::memory_order_acq_rel);
    state_->generation.notify_all();
  }
  state_->work(0);
  if (!alone) state_->wait_for_workers();
  state_->running.store(false);
  if (state_->failure) std::rethrow_exception(state_->failure);
}

}  // namespace vitrine
