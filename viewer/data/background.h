#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "core/base/run.h"

namespace vitrine {

/// One piece of work on a thread of its own, whose answer the interface takes when it is there. Destroying it cancels the work.
template <class Answer>
class Background {
 public:
  /// @param work   is given the handle that says when to stop  @param ready  called when it is over, on the work's thread
  Background(std::function<Answer(Run&)> work, std::function<void()> ready)
      : thread_([this, work = std::move(work), ready = std::move(ready)] {
          try {
            answer_ = work(run_);
          } catch (const Cancelled&) {
          } catch (const std::exception& error) {
            error_ = error.what();
          }
          done_.store(true, std::memory_order_release);
          ready();
        }) {}
  ~Background() {
    run_.cancel();
    wait();
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  /// Until it is over.
  void wait() {
    if (thread_.joinable()) thread_.join();
  }
  bool done() const { return done_.load(std::memory_order_acquire); }
  /// Once it is done; none where it failed or was cancelled.
  const std::optional<Answer>& answer() const { return answer_; }
  /// Once it is done; empty where it did not fail.
  const std::string& error() const { return error_; }

 private:
  Run run_;
  std::optional<Answer> answer_;
  std::string error_;
  std::atomic<bool> done_{false};
  std::thread thread_;  // the last member: everything else is there when it starts
};

}  // namespace vitrine
