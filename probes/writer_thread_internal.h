#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

namespace vitrine {

/// Bytes that have no value before they are written: clearing what is filled next took a twentieth of a recording's time.
class RawBytes {
 public:
  explicit RawBytes(std::size_t size) : data_(std::make_unique_for_overwrite<std::byte[]>(size)), size_(size) {}
  std::byte* data() { return data_.get(); }
  std::size_t size() const { return size_; }
  std::span<std::byte> span() { return {data_.get(), size_}; }

 private:
  std::unique_ptr<std::byte[]> data_;
  std::size_t size_;
};

/// The one thread that writes a recording: jobs run on it in the order in which they were posted, each while it holds the
/// HDF5 library (h5::Library), so that the forward pass need not wait for the file. It sleeps where there is nothing to
/// do. The first exception of a job drops those behind it and is thrown again by whoever posts or waits next.
class WriterThread {
 public:
  using Job = std::function<void()>;
  using Bytes = std::shared_ptr<RawBytes>;

  /// @param helpers  threads that prepare jobs; 0 where none has anything to prepare
  explicit WriterThread(std::size_t helpers = 0);
  /// Finishes what was posted.
  ~WriterThread();
  WriterThread(const WriterThread&) = delete;
  WriterThread& operator=(const WriterThread&) = delete;

  /// @param bytes  that the job keeps in memory; waits while more than 32 MiB are on their way
  void post(Job job, std::size_t bytes = 0);
  /// The same with something to do before, for which nobody holds the library: on a helper, beside that of other jobs.
  void post_prepared(Job prepare, Job job, std::size_t bytes);
  /// Waits until everything posted is done.
  void wait();
  /// Runs a job behind all others and waits for it.
  void call(Job job);

  /// Memory of exactly `size` bytes for a job, used again once the last owner lets go. Contents are unspecified.
  Bytes buffer(std::size_t size);

 private:
  struct Spare;
  struct Entry {
    Job job;
    std::size_t bytes;
    Job prepare;
    bool ready;
  };
  void add(Entry entry);
  void loop();
  void help();
  void perform(const Job& job);
  void fail();
  void rethrow(std::unique_lock<std::mutex>& lock);

  std::shared_ptr<Spare> spare_;  // buffers may outlive the thread
  std::mutex mutex_;
  std::condition_variable posted_, done_, unprepared_;
  std::deque<Entry> jobs_;          // the first is being done
  std::deque<Entry*> to_prepare_;   // of those
  std::size_t bytes_ = 0;
  bool stop_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> helpers_;
  std::thread thread_;
};

}  // namespace vitrine
