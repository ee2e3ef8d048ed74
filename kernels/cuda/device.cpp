#include "kernels/cuda/device_internal.h"

#include "core/base/error.h"
#include "kernels/kernels.h"

namespace vitrine {
namespace {

constexpr int oldest_major = 8;  // kernels/CMakeLists.txt compiles for 8.0 and later

std::string find_missing() {
  int count = 0, major = 0, minor = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) return std::string("no CUDA device here (") + cudaGetErrorString(status) + ")";
  if (count == 0) return "no CUDA device here";
  cuda::check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "ask the device what it can");
  cuda::check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0), "ask the device what it can");
  if (major >= oldest_major) return "";
  return "a CUDA device of compute capability " + std::to_string(major) + "." + std::to_string(minor) + ", of which 8.0 is needed";
}

}  // namespace

std::string cuda_missing() {
  static const std::string missing = find_missing();
  return missing;
}

namespace cuda {

void check(cudaError_t status, const char* tried) {
  if (status == cudaSuccess) return;
  throw Error({"CUDA", std::string("to ") + tried, std::string(cudaGetErrorName(status)) + ", " + cudaGetErrorString(status), ""});
}

Buffer::~Buffer() { cudaFree(data_); }  // an error here has nobody to hear it

void* Buffer::reserve(std::size_t bytes) {
  if (bytes <= bytes_) return data_;
  cudaFree(data_);
  data_ = nullptr;
  bytes_ = 0;
  check(cudaMalloc(&data_, bytes), "reserve memory of the device");
  bytes_ = bytes;
  return data_;
}

void upload(void* device, const void* host, const HostRows& rows) {
  if (rows.count == 0) return;
  check(cudaMemcpy2D(device, rows.row_bytes, host, rows.pitch, rows.row_bytes, rows.count, cudaMemcpyHostToDevice), "copy to the device");
}

void download(void* host, const void* device, const HostRows& rows) {
  if (rows.count == 0) return;
  check(cudaMemcpy2D(host, rows.pitch, device, rows.row_bytes, rows.row_bytes, rows.count, cudaMemcpyDeviceToHost), "compute, or to copy from the device");
}

}  // namespace cuda
}  // namespace vitrine
