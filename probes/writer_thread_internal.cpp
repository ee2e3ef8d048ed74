#include "probes/writer_thread_internal.h"

#include <utility>

#include "core/base/error.h"
#include "probes/hdf5_internal.h"

namespace vitrine {
namespace {

constexpr std::size_t most_bytes = std::size_t{32} << 20;

}  // namespace

/// Buffers that nobody owns, by size. A recording has a handful of sizes, one a kind of dataset.
struct WriterThread::Spare {
  std::mutex mutex;
  std::map<std::size_t, std::vector<std::unique_ptr<RawBytes>>> buffers;
};

WriterThread::WriterThread(std::size_t helpers) : spare_(std::make_shared<Spare>()) {
  for (std::size_t i = 0; i < helpers; ++i) helpers_.emplace_back([this] { help(); });
  thread_ = std::thread([this] { loop(); });
}

WriterThread::~WriterThread() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  posted_.notify_one();
  unprepared_.notify_all();
  thread_.join();
  for (std::thread& helper : helpers_) helper.join();
}

void WriterThread::rethrow(std::unique_lock<std::mutex>& lock) {
  if (!failure_) return;
  const std::exception_ptr failure = failure_;
  lock.unlock();
  std::rethrow_exception(failure);
}

void WriterThread::post(Job job, std::size_t bytes) { add({std::move(job), bytes, nullptr, true}); }

void WriterThread::post_prepared(Job prepare, Job job, std::size_t bytes) {
  VITRINE_CHECK(!helpers_.empty());
  add({std::move(job), bytes, std::move(prepare), false});
}

void WriterThread::add(Entry entry) {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return bytes_ == 0 || bytes_ + entry.bytes <= most_bytes; });
  rethrow(lock);
  bytes_ += entry.bytes;
  jobs_.push_back(std::move(entry));
  const bool ready = jobs_.back().ready;
  if (!ready) to_prepare_.push_back(&jobs_.back());
  lock.unlock();
  (ready ? posted_ : unprepared_).notify_one();
}

void WriterThread::wait() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return jobs_.empty(); });
  rethrow(lock);
}

void WriterThread::call(Job job) {
  post(std::move(job));
  wait();
}

WriterThread::Bytes WriterThread::buffer(std::size_t size) {
  std::unique_ptr<RawBytes> memory;
  {
    const std::lock_guard lock(spare_->mutex);
    auto& same = spare_->buffers[size];
    if (!same.empty()) {
      memory = std::move(same.back());
      same.pop_back();
    }
  }
  if (!memory) memory = std::make_unique<RawBytes>(size);
  return {memory.release(), [spare = spare_](RawBytes* bytes) {
            const std::lock_guard lock(spare->mutex);
            spare->buffers[bytes->size()].emplace_back(bytes);
          }};
}

void WriterThread::fail() {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::current_exception();
}

void WriterThread::perform(const Job& job) {
  try {
    const h5::Library library;
    job();
  } catch (...) {
    fail();
  }
}

void WriterThread::help() {
  std::unique_lock lock(mutex_);
  for (;;) {
    unprepared_.wait(lock, [&] { return stop_ || !to_prepare_.empty(); });
    if (to_prepare_.empty()) return;
    Entry& entry = *to_prepare_.front();
    to_prepare_.pop_front();
    if (!failure_) {
      lock.unlock();
      try {
        entry.prepare();
      } catch (...) {
        fail();
      }
      lock.lock();
    }
    entry.ready = true;
    posted_.notify_one();
  }
}

void WriterThread::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    posted_.wait(lock, [&] { return jobs_.empty() ? stop_ : jobs_.front().ready; });
    if (jobs_.empty()) return;
    Entry& entry = jobs_.front();  // stays where it is while others are posted behind it
    if (!failure_) {
      lock.unlock();
      perform(entry.job);
      lock.lock();
    }
    bytes_ -= entry.bytes;
    Entry finished = std::move(entry);
    jobs_.pop_front();
    lock.unlock();
    finished.job = finished.prepare = nullptr;  // gives its memory back before anybody waits for that
    done_.notify_all();
    lock.lock();
  }
}

}  // namespace vitrine
