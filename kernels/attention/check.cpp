// History: its two kernels run one after the other, so that it costs what both cost and a comparison of their outputs; nothing to tune.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "core/base/error.h"
#include "kernels/kernels.h"

// Runs two kernels on the same problems: the first one's results are kept, the second's are compared with them.

namespace vitrine {
namespace {

std::atomic<double> largest_seen{0.0};

const KernelOptions& no_options() {
  static const KernelOptions none;
  return none;
}

const AttentionKernel* named(std::string_view name) {
  for (const AttentionKernel* kernel : all_attention_kernels()) {
    if (kernel->name == name && name != "check") return kernel;
  }
  return nullptr;
}

struct Pair {
  const AttentionKernel* first = nullptr;
  const AttentionKernel* second = nullptr;
  double bound = 0.0;
};

/// The options, known to be good: rule() refuses others before anything runs.
Pair pair_of(const KernelOptions& options) {
  Pair pair{named(options.positional.at(0)), named(options.positional.at(1))};
  pair.bound = 2.0 * (static_cast<double>(pair.first->tolerance) + static_cast<double>(pair.second->tolerance));
  if (const auto bound = options.named.find("bound"); bound != options.named.end())
    pair.bound = std::atof(bound->second.c_str());
  return pair;
}

[[noreturn]] void refuse(const std::string& expected, const std::string& found) {
  throw Error({"--kernel check", expected, found, "for example check:flash,reference,bound=1e-4"}, Fault::usage);
}

PatternRule rule(const KernelOptions& options) {
  if (options.positional.size() != 2) refuse("two kernels", std::to_string(options.positional.size()));
  for (const std::string& name : options.positional) {
    if (!named(name)) refuse("names of two kernels, see `vitrine list kernels`", quoted(name));
  }
  for (const auto& [key, value] : options.named) {
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    if (key != "bound") refuse("no option but bound", quoted(key));
    if (value.empty() || *end != '\0' || !(number >= 0.0)) refuse("a bound of 0 or more", quoted(value));
  }
  const Pair pair = pair_of(options);
  const PatternRule first = pair.first->rule(no_options()), second = pair.second->rule(no_options());
  if (first != second) {
    refuse("two kernels of one pattern rule", options.positional[0] + " and " + options.positional[1]);
  }
  return first;
}

std::string refuses(const AttentionProblem& problem, const KernelOptions& options) {
  const Pair pair = pair_of(options);
  const std::string reason = pair.first->refuses(problem, no_options());
  return reason.empty() ? pair.second->refuses(problem, no_options()) : reason;
}

constexpr std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

std::size_t out_bytes(const AttentionProblem& problem) { return aligned(problem.out.size() * sizeof(float)); }
std::size_t normalizer_bytes(const AttentionProblem& problem) {
  return aligned(problem.q.extent(0) * problem.q.extent(1) * sizeof(float));
}

std::size_t scratch_bytes(std::span<const AttentionProblem> problems, const KernelOptions& options,
                          std::size_t threads) {
  const Pair pair = pair_of(options);
  std::size_t bytes = aligned(problems.size_bytes());
  for (const AttentionProblem& problem : problems) bytes += out_bytes(problem) + normalizer_bytes(problem);
  return bytes + std::max(pair.first->scratch_bytes(problems, no_options(), threads),
                          pair.second->scratch_bytes(problems, no_options(), threads));
}

/// The same problems with outputs cut from `scratch`, which shrinks to what is left.
std::span<AttentionProblem> twins(std::span<const AttentionProblem> problems, std::span<std::byte>& scratch) {
  static_assert(std::is_trivially_copyable_v<AttentionProblem>);
  const auto take = [&scratch](std::size_t bytes) {
    std::byte* data = scratch.data();
    scratch = scratch.subspan(bytes);
    return data;
  };
  auto* copies = reinterpret_cast<AttentionProblem*>(take(aligned(problems.size_bytes())));
  for (std::size_t i = 0; i < problems.size(); ++i) {
    AttentionProblem* twin = new (copies + i) AttentionProblem(problems[i]);
    twin->out = {reinterpret_cast<float*>(take(out_bytes(*twin))), twin->out.shape()};
    twin->normalizer = {reinterpret_cast<float*>(take(normalizer_bytes(*twin))),
                        {twin->q.extent(0), twin->q.extent(1)}};
    twin->stats = {};
  }
  return {copies, problems.size()};
}

/// ||a - b|| / ||b|| over one tensor, summed number by number. Infinities must coincide.
class Difference {
 public:
  void add(float a, float b) {
    if (std::isinf(a) && a == b) return;
    const double distance = static_cast<double>(a) - b;
    squares_ += distance * distance;
    size_ += static_cast<double>(b) * b;
  }
  double relative() const {
    if (squares_ == 0.0) return 0.0;
    const double ratio = std::sqrt(squares_ / size_);
    return std::isnan(ratio) ? INFINITY : ratio;
  }

 private:
  double squares_ = 0.0, size_ = 0.0;
};

double compare(const AttentionProblem& first, const AttentionProblem& second) {
  Difference out, normalizer;
  for (std::size_t i = 0; i < first.q.extent(0); ++i) {
    for (std::size_t h = 0; h < first.q.extent(1); ++h) {
      for (std::size_t d = 0; d < first.out.extent(2); ++d) out.add(first.out(i, h, d), second.out(i, h, d));
      if (!first.normalizer.empty()) normalizer.add(first.normalizer(i, h), second.normalizer(i, h));
    }
  }
  return std::max(out.relative(), normalizer.relative());
}

void run(const KernelCall& call) {
  const Pair pair = pair_of(call.options);
  std::span<std::byte> scratch = call.scratch;
  const std::span<AttentionProblem> copies = twins(call.problems, scratch);
  pair.first->run({call.problems, no_options(), call.pool, scratch, call.report});
  pair.second->run({copies, no_options(), call.pool, scratch, call.report});
  double largest = 0.0;
  for (std::size_t i = 0; i < copies.size(); ++i) largest = std::max(largest, compare(call.problems[i], copies[i]));
  call.report.largest_relative_difference = std::max(call.report.largest_relative_difference, largest);
  largest_seen.store(std::max(largest, largest_seen.load()));
  if (largest <= pair.bound) return;
  char line[200];
  std::snprintf(line, sizeof line, "%.40s and %.40s differ by %.3g relative, more than the bound %.3g",
                call.options.positional[0].c_str(), call.options.positional[1].c_str(), largest, pair.bound);
  call.report.failure = line;
}

}  // namespace

double largest_checked_difference() { return largest_seen.load(); }

const AttentionKernel& attention_kernel_check() {
  static const AttentionKernel kernel{"check", "runs two kernels and compares them: check:flash,reference[,bound=1e-4]",
                                      "",      "cpu",
                                      1e-5f,   rule,
                                      refuses, scratch_bytes,
                                      run,     true,
                                      "flash,reference,bound=1e-3"};
  return kernel;
}

}  // namespace vitrine
