#include <oneapi/dnnl/dnnl.hpp>

#include "core/base/error.h"
#include "kernels/kernels.h"
#include "kernels/simd/dot_x86.h"
#include "kernels/simd/int8_x86.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd.cpp"
#include "hwy/foreach_target.h"
// must come after foreach_target.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {
namespace {

const char* own_name() { return hwy::TargetName(HWY_TARGET); }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
extern "C" void omp_set_num_threads(int);  // of the OpenMP run time that oneDNN brings along

namespace vitrine {
namespace {

HWY_EXPORT(own_name);

}  // namespace

void initialize_worker() { omp_set_num_threads(1); }

std::vector<std::string> simd_targets() {
  std::vector<std::string> names;
  for (std::int64_t left = (hwy::SupportedTargets() & HWY_TARGETS); left != 0;
       left &= left - 1) {  // lower bits are better targets
    names.emplace_back(hwy::TargetName(left & -left));
  }
  return names;
}

void choose_simd(std::string_view target) {
  if (target == "auto") return;
  std::string known = "auto";
  const std::int64_t supported = (hwy::SupportedTargets() & HWY_TARGETS);
  for (std::int64_t left = supported; left != 0; left &= left - 1) {
    const std::int64_t bit = left & -left;
    const std::string_view name = hwy::TargetName(bit);
    known += ", " + std::string(name);
    if (name != target) continue;
    hwy::DisableTargets(bit - 1);
    if (!target.starts_with("AVX3")) {
      dnnl::set_max_cpu_isa(target == "AVX2" ? dnnl::cpu_isa::avx2 : dnnl::cpu_isa::sse41);
    }
    return;
  }
  throw Error({"--simd", known, quoted(target), ""}, Fault::usage);
}

std::string simd_in_use() { return HWY_DYNAMIC_DISPATCH(own_name)(); }

bool has_bf16_products() { return has_bf16_dot() && simd_in_use().starts_with("AVX3"); }
bool has_int8_products() { return has_int8_dot() && simd_in_use().starts_with("AVX3"); }

}  // namespace vitrine
#endif
