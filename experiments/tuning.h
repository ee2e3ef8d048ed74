#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/run.h"
#include "kernels/attention_sample.h"

namespace vitrine {

/// What times of kernels are valid for.
struct TuningKey {
  std::string cpu, simd, version;
  std::size_t threads = 0;
  bool operator==(const TuningKey&) const = default;
};
/// Of this machine and program, with the instruction set in use.
TuningKey tuning_key(std::size_t threads);

struct TunedShape {
  std::string name;  ///< "prompt_1024_head_64_F16"
  AttentionShape shape;
  std::map<std::string, double> seconds;  ///< of a call, by kernel: the median of interleaved rounds
};

/// Times of every exact kernel on a table of shapes, as `vitrine tune` measures them.
struct TuningTable {
  TuningKey key;
  std::vector<TunedShape> shapes;
};

/// Kernels that compute the softmax over all visible keys, on this CPU, with the same bits for any split of the queries: any
/// of them may stand for `auto`.
std::vector<const AttentionKernel*> exact_kernels();

/// Prompts and single queries for the head sizes 32, 64 and 128, with f32 and f16 keys and values.
std::vector<TunedShape> shapes_to_tune();

/// Times each exact kernel on each shape, in turns. @throws Error where a kernel disagrees with `reference`
TuningTable tune(std::vector<TunedShape> shapes, ThreadPool& pool, Run& run);

/// $XDG_CACHE_HOME/vitrine/tune-<instruction set>-<threads>-<version>.json
std::filesystem::path tuning_path(const TuningKey& key);
Json to_json(const TuningTable& table);
/// The file appears in one step. @throws Error where it cannot be written
void write_tuning(const TuningTable& table);

/// The table of a key; none where there is no file, or where `complaint` says in one line why it is not used.
std::optional<TuningTable> read_tuning(const TuningKey& key, std::string& complaint);

/// The kernel whose times for the nearest head size and the type of keys and values are the smallest multiple of the fastest
/// ones, as the geometric mean over prompts and single queries. One kernel for both: one that changed between a prompt and
/// the tokens behind it would make a text's bits depend on how it is cut. Empty where the table does not say.
std::string fastest_kernel(const TuningTable& table, const AttentionSpec& spec, DType kv);

/// choose_attention_kernel, where `auto` is decided by the table of `vitrine tune` if there is one.
struct TunedChoice {
  KernelChoice choice;
  std::string reason;     ///< of `auto`, for people; empty where the user named a kernel
  std::string complaint;  ///< why a table was not used; empty where nothing is wrong
};
TunedChoice choose_tuned_kernel(const std::string& spelled, const AttentionSpec& spec, DType kv, std::size_t threads);

}  // namespace vitrine
