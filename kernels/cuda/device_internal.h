#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>

namespace vitrine::cuda {

/// @throws Error naming what was tried and what CUDA says of it
void check(cudaError_t status, const char* tried);

/// Memory of the device that only grows; its contents do not outlive growing.
class Buffer {
 public:
  Buffer() = default;
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  /// At least `bytes` bytes, aligned for every type. @throws Error where the device has no room
  void* reserve(std::size_t bytes);
  template <typename T>
  T* reserve_of(std::size_t count) {
    return static_cast<T*>(reserve(count * sizeof(T)));
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Rows of `row_bytes` bytes that lie `pitch` bytes apart here, one behind the other there.
struct HostRows {
  std::size_t count, row_bytes, pitch;
};
void upload(void* device, const void* host, const HostRows& rows);
/// Waits for what was started before.
void download(void* host, const void* device, const HostRows& rows);

}  // namespace vitrine::cuda
