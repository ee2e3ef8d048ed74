#include "core/base/thread_pool.h"

#include <sched.h>

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
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

/// Indices are claimed from a ticket that carries the number of the run, and a run is over when its indices are done,
/// not when every worker has said so: a worker that the system has set aside holds nobody up unless it has claimed
/// something, and finds the ticket of another run when it comes back.
struct ThreadPool::State {
  static constexpr std::uint64_t run_unit = std::uint64_t{1}
                                            << 32;  // of the ticket: run number above, next index below
  static constexpr std::uint64_t index_mask = run_unit - 1;

  std::vector<std::thread> workers;
  std::atomic<std::uint64_t> ticket{index_mask};  // closed: no index is left
  std::atomic<std::uint64_t> generation{0};       // counts runs; a worker waits for it to change
  std::atomic<std::size_t> count{0};              // written while the ticket is closed, as is the task
  std::atomic<const Task*> task{nullptr};
  std::atomic<std::size_t> done{0};
  std::atomic<bool> stop{false};
  std::atomic<bool> running{false};
  std::atomic<bool> failed{false};
  std::mutex failure_mutex;
  std::exception_ptr failure;

  void open(std::size_t new_count, const Task& new_task) {
    const std::uint64_t run = (ticket.load(std::memory_order_relaxed) / run_unit + 1) * run_unit;
    ticket.store(run | index_mask, std::memory_order_seq_cst);
    count.store(new_count, std::memory_order_seq_cst);
    task.store(&new_task, std::memory_order_seq_cst);
    done.store(0, std::memory_order_relaxed);
    failed.store(false, std::memory_order_relaxed);
    failure = nullptr;
    ticket.store(run, std::memory_order_seq_cst);
  }

  void perform(const Task& claimed, std::size_t index, std::size_t worker) {
    if (failed.load(std::memory_order_relaxed)) return;
    try {
      claimed(index, worker);
    } catch (...) {
      const std::lock_guard lock(failure_mutex);
      if (!failure) failure = std::current_exception();
      failed.store(true, std::memory_order_relaxed);
    }
  }

  void work(std::size_t worker) {
    for (std::uint64_t seen = ticket.load(std::memory_order_acquire);;) {
      const std::size_t all = count.load(std::memory_order_seq_cst);
      const Task* claimed = task.load(std::memory_order_seq_cst);
      if ((seen & index_mask) >= all) return;
      // Success means that the ticket has not changed meanwhile, so count and task belong to it.
      if (!ticket.compare_exchange_weak(seen, seen + 1, std::memory_order_seq_cst)) continue;
      perform(*claimed, seen & index_mask, worker);
      if (done.fetch_add(1, std::memory_order_acq_rel) + 1 == all) done.notify_one();
      seen = ticket.load(std::memory_order_acquire);
    }
  }

  void worker_loop(std::size_t worker) {
    for (std::uint64_t seen = 0;;) {
      for (int spin = 0; spin < spins_before_sleep && generation.load(std::memory_order_acquire) == seen; ++spin)
        pause();
      generation.wait(seen, std::memory_order_acquire);
      seen = generation.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_acquire)) return;
      work(worker);
    }
  }

  void wait_until_done() {
    const std::size_t all = count.load(std::memory_order_relaxed);
    for (int spin = 0; spin < spins_before_sleep && done.load(std::memory_order_acquire) != all; ++spin) pause();
    for (std::size_t now; (now = done.load(std::memory_order_acquire)) != all;)
      done.wait(now, std::memory_order_acquire);
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

void ThreadPool::run_task(std::size_t count, const Task& task) {
  if (count == 0) return;
  VITRINE_CHECK(!state_->running.exchange(true));
  VITRINE_CHECK(count < State::index_mask);
  state_->open(count, task);
  if (count > 1 && !state_->workers.empty()) {
    state_->generation.fetch_add(1, std::memory_order_acq_rel);
    state_->generation.notify_all();
  }
  state_->work(0);
  state_->wait_until_done();
  const std::exception_ptr failure = std::exchange(state_->failure, nullptr);
  state_->running.store(false);
  if (failure) std::rethrow_exception(failure);
}

}  // namespace vitrine
