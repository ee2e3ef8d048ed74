#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace vitrine {

/// The cores this process may use (its affinity mask), at least 1.
std::size_t available_cores();

/// The only threads of the process. The calling thread is worker 0; `threads - 1` more are started.
/// Waiting is a bounded spin, then sleep, so that shared cores do not collapse it.
class ThreadPool {
 public:
  /// task(index, worker), index in [0, count), worker in [0, threads()).
  /// Refers to what it is made of and copies nothing: a run allocates nothing.
  class Task {
   public:
    template <class Function>
    Task(const Function& function) : function_(&function), call_(call<Function>) {}
    void operator()(std::size_t index, std::size_t worker) const { call_(function_, index, worker); }

   private:
    template <class Function>
    static void call(const void* function, std::size_t index, std::size_t worker) {
      (*static_cast<const Function*>(function))(index, worker);
    }
    const void* function_;
    void (*call_)(const void* function, std::size_t index, std::size_t worker);
  };

  /// @param threads   0 means available_cores()
  /// @param on_start  runs once on every worker, the caller included, before anything else (libraries that
  ///                  keep a setting per thread are tamed here)
  explicit ThreadPool(std::size_t threads = 0, std::function<void()> on_start = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::size_t threads() const;

  /// Runs the task for every index and returns when all are done. Indices are handed out dynamically, so results
  /// must not depend on which worker computes what. The first exception of a task is rethrown here.
  /// Not reentrant: a task must not call run() on the same pool.
  template <class Function>
  void run(std::size_t count, const Function& function) {
    run_task(count, Task(function));
  }


 private:
  void run_task(std::size_t count, const Task& task);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
