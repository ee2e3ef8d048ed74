#include <algorithm>
#include <map>
#include <set>

#include "probes/recording_layout_internal.h"
#include "probes/recording_tools/check_internal.h"

namespace vitrine {
namespace {

using Side = Recording::Side;

/// Types that a dataset may have, by the names of FORMAT.md; empty: this check does not know the dataset.
std::string types_of(std::string name) {
  if (name.starts_with(std::string(encoder_prefix) + "/")) name.erase(0, encoder_prefix.size());
  static const std::map<std::string, std::string> fixed{{"/sequences/offset", "u64"},
                                                        {"/sequences/committed", "u64"},
                                                        {"/tokens/id", "i32"},
                                                        {"/tokens/begin", "u64"},
                                                        {"/tokens/end", "u64"},
                                                        {"/tokens/bytes", "u8"},
                                                        {"/tokens/bytes_offset", "u64"},
                                                        {"/tokens/log_probability", "f32"},
                                                        {"/tokens/segment", "i32"},
                                                        {"/tokens/scrubbed", "i32"},
                                                        {"/tokens/allowed", "u64"},
                                                        {"/top_logits/id", "i32"},
                                                        {"/top_logits/value", "f32"},
                                                        {"/top_logits/log_sum_exp", "f32"},
                                                        {"/mips/cell", "u64"}};
  if (const auto found = fixed.find(name); found != fixed.end()) return found->second;
  if (name.starts_with("/summary/")) return "f64";
  if (name == "/logits" || name.starts_with("/activations/")) return "f32, f16, bf16, int8";
  if (name.starts_with("/mips/")) return "bf16";
  if (!name.starts_with("/attention/")) return {};
  const std::string last = name.substr(name.rfind('/') + 1);
  if (last == "q" || last == "k") return "f32, f16, bf16, int8";
  static const std::set<std::string> numbers{"normalizer",     "threshold", "entropy",  "distance",       "first_key", "distance_bias",
                                             "distance_slope", "positions", "key_bias", "positions_bias", "segment",   "segment_bias"};
  return numbers.contains(last) ? "f32" : "";
}

void check_types(const Check& check) {
  for (const StoredDataset& dataset : check.stored.datasets) {
    if (dataset.name.starts_with("/protection/")) continue;  // which had to be read before anything else
    const std::string types = types_of(dataset.name);
    if (types.empty()) {
      check.result.notes.push_back(dataset.name + " is none of FORMAT.md's");
    } else if (types.find(dataset.info.type) == std::string::npos) {
      check.find(dataset.name, types, dataset.info.type);
    }
  }
}

/// A finished file holds its rows and nothing behind them.
void check_lengths(const Check& check) {
  if (!check.recording().finished()) return;
  for (const StoredDataset& dataset : check.stored.datasets) {
    if (dataset.counted == Counted::nothing) continue;
    const std::size_t expected = check.stored.committed(dataset), found = dataset.info.shape[0];
    if (found != expected) check.find(dataset.name, std::to_string(expected) + " on the first axis", std::to_string(found));
  }
  for (const Side side : {Side::text, Side::encoder}) {
    if (side == Side::encoder && !check.recording().has_encoder()) continue;
    const std::string name = prefix_of(side) + "/sequences/committed";
    const std::uint64_t committed = check.stored.file.read<std::uint64_t>(name, {{0}, {1}})[0];
    if (committed != check.stored.rows(side))
      check.find(name, std::to_string(check.stored.rows(side)) + ", where the last sequence ends", std::to_string(committed));
  }
}

/// Names that stand for the same numbers lead to one object.
void check_links(const Check& check) {
  const auto object_of = [&](const std::string& name) -> std::string {
    const StoredDataset* dataset = check.stored.find(name);
    return !dataset ? "" : dataset->same_as.empty() ? dataset->name : dataset->same_as;
  };
  std::map<std::string, std::string> residuals;  // resid_post -> the next resid_pre, where both are there
  bool linked = false;
  for (const StoredDataset& dataset : check.stored.datasets) {
    const auto point = parse_point(dataset.name.substr(dataset.name.rfind('/') + 1));
    if (!dataset.name.starts_with("/activations/") || !point) continue;
    const std::string factor = factor_path(*point);
    if (!object_of(factor).empty() && object_of(factor) != object_of(dataset.name))
      check.find(dataset.name, "a hard link to " + factor, "a dataset of its own");
    if (point->site != Site::resid_post) continue;
    ProbePoint next = *point;
    next.site = Site::resid_pre;
    ++next.block;
    const std::string pre = activation_path(next);
    if (object_of(pre).empty() || check.stored.find(pre)->info.type != dataset.info.type) continue;
    residuals[dataset.name] = pre;
    linked = linked || object_of(pre) == object_of(dataset.name);
  }
  for (const auto& [post, pre] : residuals) {
    if (linked && object_of(post) != object_of(pre))
      check.find(post, "a hard link to " + pre + ", as in other blocks", "a dataset of its own");
  }
}

/// An object with several names has the labels of one of them.
void check_labels(const Check& check) {
  std::map<std::string, bool> labelled;  // by the first name of an object
  for (const StoredDataset& dataset : check.stored.datasets) {
    if (dataset.counted != Counted::rows) continue;
    const std::vector<const char*> expected = axis_labels(dataset.name, dataset.info.shape.size());
    const bool good = expected.empty() || std::ranges::equal(check.stored.file.labels(dataset.name), expected);
    bool& known = labelled[dataset.same_as.empty() ? dataset.name : dataset.same_as];
    known = known || good;
  }
  for (const auto& [name, good] : labelled) {
    if (!good) check.find(name, "DIMENSION_LABELS that name its axes", "others or none");
  }
}

}  // namespace

void check_structure(const Check& check) {
  check_types(check);
  check_lengths(check);
  check_links(check);
  check_labels(check);
}

}  // namespace vitrine
