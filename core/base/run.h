#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string_view>

namespace vitrine {

/// Thrown out of long work after Run::cancel(); what was written so far stays readable.
struct Cancelled : std::runtime_error {
  Cancelled() : std::runtime_error("cancelled") {}
};

/// Handle on one piece of long work: progress out, cancellation in. cancel() may come from a signal handler
/// or another thread; everything else belongs to the working thread.
class Run {
 public:
  using Report = std::function<void(std::string_view task, std::size_t done, std::size_t total)>;

  Run() = default;
  explicit Run(Report report) : report_(std::move(report)) {}

  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  /// Ready for more work after a cancellation.
  void reset() { cancelled_.store(false, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

  /// Tells how far `task` is, in its own units, and throws Cancelled where the user asked to stop.
  void step(std::string_view task, std::size_t done, std::size_t total) {
    if (cancelled()) throw Cancelled();
    if (report_) report_(task, done, total);
  }

 private:
  Report report_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace vitrine
