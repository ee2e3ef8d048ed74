#include "probes/recording.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>

#include "core/base/error.h"
#include "probes/checked_file_internal.h"
#include "probes/child_check.h"
#include "probes/recording_layout_internal.h"

namespace vitrine {
namespace {

constexpr std::uint64_t most_heads = 65536, most_rows = std::uint64_t{1} << 40;
constexpr std::uint64_t most_direction_work = std::uint64_t{1} << 30;  // operations: features * head_dim^2

class FileRecording : public Recording {
 public:
  explicit FileRecording(const std::filesystem::path& path);
  /// Reads every index and the first and last number of everything: what the child does before the parent dares to.
  void walk() const;

  const std::filesystem::path& path() const override { return path_; }
  const Json& provenance() const override { return provenance_; }
  bool finished() const override { return finished_; }
  std::size_t sequences() const override { return offsets_.size() - 1; }
  Rows rows_of(std::size_t sequence) const override;
  std::vector<std::int32_t> token_ids(std::size_t sequence) const override;
  std::vector<std::string> token_texts(std::size_t sequence) const override;
  std::vector<float> log_probabilities(std::size_t sequence) const override;
  std::span<const Module> modules() const override { return modules_; }
  std::shared_ptr<const Head> head(const Module& module, std::size_t head, std::size_t sequence) const override;
  std::vector<float> row_statistic(const Module& module, std::string_view name, std::size_t sequence) const override;
  std::span<const Dataset> activations() const override { return activations_; }
  std::vector<float> activation(const Dataset& dataset, Rows rows) const override;

 private:
  void read_root();
  void read_sequences();
  void read_modules();
  PatternRule read_rule(const std::string& group) const;
  PatternRule read_feature_rule(const std::string& group, PatternRule rule) const;
  PatternRule read_block_rule(const std::string& group, PatternRule rule) const;
  void read_activations();
  /// Of a dataset below /tokens, /attention or /activations, without what an unfinished file holds behind its commit: a
  /// full disk may have stopped it between the extent and the numbers.
  CheckedFile::Info committed_info(const std::string& name) const;
  /// Info of a dataset with one row a token; the extents behind the rows must be `width`.
  CheckedFile::Info rows_dataset(const std::string& name, const std::vector<std::size_t>& width) const;

  std::filesystem::path path_;
  CheckedFile file_;
  Json provenance_;
  bool finished_ = false;
  std::size_t rows_ = 0, text_bytes_ = 0;  // committed
  std::vector<std::uint64_t> offsets_{0};  // [sequences + 1], inside the committed rows
  std::vector<Module> modules_;
  std::vector<Dataset> activations_;
};

FileRecording::FileRecording(const std::filesystem::path& path) : path_(path), file_(path.string()) {
  read_root();
  read_sequences();
  read_modules();
  read_activations();
}

void FileRecording::read_root() {
  if (file_.text("/", "format") != recording_format) file_.fail("/", "the format " + std::string(recording_format), "another");
  const std::uint64_t version = file_.count("/", "format_version", UINT32_MAX);
  if (version != recording_version) file_.fail("/", "format version 1", std::to_string(version));
  finished_ = file_.count("/", "finished", 1) == 1;
  for (const char* name : {"model", "architecture", "precision", "kernel", "machine"}) provenance_.set(name, file_.text("/", name));
  for (const char* name : {"blocks", "width", "vocabulary", "context"}) {
    provenance_.set(name, file_.count("/", name, most_rows));
  }
  provenance_.set("provenance", parse_json(file_.text("/", "provenance"), path_.string() + ", provenance"));
}

CheckedFile::Info FileRecording::committed_info(const std::string& name) const {
  if (finished_) return file_.info(name);
  if (name == "/tokens/bytes_offset") return file_.info(name, rows_ + 1);
  return file_.info(name, name == "/tokens/bytes" ? text_bytes_ : rows_);
}

CheckedFile::Info FileRecording::rows_dataset(const std::string& name, const std::vector<std::size_t>& width) const {
  CheckedFile::Info info = committed_info(name);
  if (info.shape.size() != width.size() + 1 || !std::equal(width.begin(), width.end(), info.shape.begin() + 1)) {
    std::string expected = "[pos";
    for (const std::size_t extent : width) expected += ", " + std::to_string(extent);
    file_.fail(name, expected + "]", "another shape");
  }
  if (info.shape[0] < rows_) file_.fail(name, std::to_string(rows_) + " rows", std::to_string(info.shape[0]));
  return info;
}

void FileRecording::read_sequences() {
  if (file_.info("/sequences/committed").shape != std::vector<std::size_t>{1}) file_.fail("/sequences/committed", "[1]", "another shape");
  rows_ = file_.read<std::uint64_t>("/sequences/committed", {{0}, {1}})[0];
  if (rows_ > most_rows) file_.fail("/sequences/committed", "a possible number of rows", std::to_string(rows_));
  for (const char* name : {"/tokens/id", "/tokens/begin", "/tokens/end"}) rows_dataset(name, {});
  const CheckedFile::Info borders = committed_info("/tokens/bytes_offset"), offset = file_.info("/sequences/offset");
  if (!finished_ && rows_ == 0) return;  // its writer was stopped before the first commit
  if (borders.shape.size() != 1 || borders.shape[0] < rows_ + 1) file_.fail("/tokens/bytes_offset", "one border more than rows", "fewer");
  text_bytes_ = file_.read<std::uint64_t>("/tokens/bytes_offset", {{rows_}, {1}})[0];
  if (committed_info("/tokens/bytes").shape.size() != 1) file_.fail("/tokens/bytes", "one axis", "more");
  if (offset.shape.size() != 1 || offset.shape[0] < 1) file_.fail("/sequences/offset", "at least one border", "none");
  const auto all = file_.read<std::uint64_t>("/sequences/offset", {{0}, {offset.shape[0]}});
  if (all.front() != 0) file_.fail("/sequences/offset", "0 first", std::to_string(all.front()));
  for (std::size_t i = 1; i < all.size(); ++i) {
    if (all[i] < all[i - 1]) file_.fail("/sequences/offset", "borders that never fall", std::to_string(all[i]));
    if (!finished_ && all[i - 1] >= rows_ && rows_ > 0) break;  // nothing of this sequence was committed
    offsets_.push_back(std::min<std::uint64_t>(all[i], rows_));
  }
  if (offsets_.back() < rows_) file_.fail("/sequences/offset", "borders up to " + std::to_string(rows_), std::to_string(offsets_.back()));
}

PatternRule FileRecording::read_rule(const std::string& group) const {
  PatternRule rule{.window = file_.count(group, "rule_window", most_rows), .sinks = file_.count(group, "rule_sinks", most_rows)};
  const std::uint64_t kind = file_.count(group, "rule", 255);
  rule.kind = static_cast<PatternKind>(kind);
  rule.bf16_factors = file_.count_if_there(group, "rule_bf16", 1) == 1;
  switch (rule.kind) {
    case PatternKind::softmax: return rule;
    case PatternKind::softmax_top_k:
      rule.top_k = file_.count(group, "rule_top_k", most_rows);
      return rule;
    case PatternKind::feature_map: return read_feature_rule(group, rule);
    case PatternKind::softmax_blocks: return read_block_rule(group, rule);
    case PatternKind::additive: break;
  }
  file_.fail(group, "the pattern rule 0 (softmax), 1 (top k), 2 (feature map) or 4 (blocks)", std::to_string(kind) + ", which this program cannot rebuild");
}

PatternRule FileRecording::read_feature_rule(const std::string& group, PatternRule rule) const {
  rule.feature = file_.count(group, "rule_feature", 1) == 0 ? FeatureKind::elu_plus_one : FeatureKind::favor;
  rule.features = file_.count(group, "rule_features", most_heads);
  rule.seed = file_.count(group, "rule_seed", std::numeric_limits<std::uint64_t>::max());
  if (rule.feature == FeatureKind::favor && rule.features == 0) file_.fail(group, "rule_features of at least 1", "0");
  return rule;
}

PatternRule FileRecording::read_block_rule(const std::string& group, PatternRule rule) const {
  rule.blocks = {.size = file_.count(group, "rule_block_size", most_rows),
                 .window = file_.count(group, "rule_block_window", most_rows),
                 .stride = file_.count(group, "rule_block_stride", most_rows),
                 .global = file_.count(group, "rule_block_global", most_rows),
                 .random = file_.count(group, "rule_block_random", most_random_blocks)};
  rule.seed = file_.count(group, "rule_seed", std::numeric_limits<std::uint64_t>::max());
  if (rule.blocks.size == 0) file_.fail(group, "rule_block_size of at least 1", "0");
  return rule;
}

void FileRecording::read_modules() {
  for (const std::string& name : file_.members("/attention")) {
    Module module;
    module.name = name;
    const bool named = name.starts_with("blocks.") && name.ends_with(".attn");
    const auto [end, error] = std::from_chars(name.data() + std::min<std::size_t>(7, name.size()), name.data() + name.size(), module.block);
    if (!named || error != std::errc() || std::string_view(end) != ".attn") {
      file_.fail("/attention", "groups named blocks.N.attn", quoted(name));
    }
    const std::string group = "/attention/" + name;
    module.heads = file_.count(group, "heads", most_heads);
    module.kv_heads = file_.count(group, "kv_heads", most_heads);
    module.head_dim = file_.count(group, "head_dim", most_heads);
    if (module.kv_heads == 0 || module.heads % module.kv_heads != 0) file_.fail(group, "heads that are a multiple of kv_heads", "others");
    module.score.scale = static_cast<float>(file_.number(group, "scale"));
    module.score.soft_cap = static_cast<float>(file_.number(group, "soft_cap"));
    module.score.mask = file_.text(group, "mask") == "causal" ? Mask::causal : Mask::none;
    module.score.window = file_.count(group, "window", most_rows);
    module.rule = read_rule(group);
    if (module.rule.features * module.head_dim * module.head_dim > most_direction_work) {
      file_.fail(group, "rule_features that can be made", std::to_string(module.rule.features));
    }
    rows_dataset(group + "/q", {module.heads, module.head_dim});
    rows_dataset(group + "/k", {module.kv_heads, module.head_dim});
    rows_dataset(group + "/normalizer", {module.heads});
    if (module.rule.kind == PatternKind::softmax_top_k) rows_dataset(group + "/threshold", {module.heads});
    for (const std::string_view statistic : row_statistics) rows_dataset(group + "/" + std::string(statistic), {module.heads});
    modules_.push_back(std::move(module));
  }
  std::sort(modules_.begin(), modules_.end(), [](const Module& a, const Module& b) { return a.block < b.block; });
}

void FileRecording::read_activations() {
  std::vector<std::string> names;
  for (const std::string& name : file_.members("/activations")) names.push_back("/activations/" + name);
  if (file_.has("/logits")) names.push_back("/logits");
  for (const std::string& name : names) {
    const CheckedFile::Info info = committed_info(name);
    if (info.shape.size() < 2 || info.shape[0] < rows_) file_.fail(name, "[pos, ...] with every row", "another shape");
    activations_.push_back({name, info.type, info.shape, info.bytes});
  }
}

void FileRecording::walk() const {
  std::vector<std::string> names{"/tokens/id", "/tokens/begin", "/tokens/end", "/tokens/bytes", "/tokens/bytes_offset"};
  for (const Dataset& dataset : activations_) names.push_back(dataset.name);
  for (const Module& module : modules_) {
    for (const std::string& name : file_.members("/attention/" + module.name)) names.push_back("/attention/" + module.name + "/" + name);
  }
  for (const std::string& name : names) {
    const CheckedFile::Info info = committed_info(name);
    file_.walk_chunks(name);
    if (info.bytes == 0) continue;
    const std::vector<std::size_t> ones(info.shape.size(), 1), first(info.shape.size(), 0);
    std::vector<std::size_t> last = info.shape;
    for (std::size_t& at : last) --at;
    file_.read<float>(name, {first, ones});
    file_.read<float>(name, {last, ones});
  }
  for (std::size_t sequence = 0; sequence < std::min<std::size_t>(sequences(), 1000); ++sequence) token_texts(sequence);
}

Recording::Rows FileRecording::rows_of(std::size_t sequence) const {
  VITRINE_CHECK(sequence < sequences());
  return {offsets_[sequence], offsets_[sequence + 1] - offsets_[sequence]};
}

std::vector<std::int32_t> FileRecording::token_ids(std::size_t sequence) const {
  const Rows rows = rows_of(sequence);
  return file_.read<std::int32_t>("/tokens/id", {{rows.begin}, {rows.count}});
}

std::vector<std::string> FileRecording::token_texts(std::size_t sequence) const {
  const Rows rows = rows_of(sequence);
  const auto borders = file_.read<std::uint64_t>("/tokens/bytes_offset", {{rows.begin}, {rows.count + 1}});
  const std::size_t stored = committed_info("/tokens/bytes").shape[0];
  if (!std::is_sorted(borders.begin(), borders.end()) || borders.back() > stored) {
    file_.fail("/tokens/bytes_offset", "rising borders up to " + std::to_string(stored), "others");
  }
  const auto bytes = file_.read<char>("/tokens/bytes", {{borders.front()}, {borders.back() - borders.front()}});
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < rows.count; ++i) {
    texts.emplace_back(bytes.data() + (borders[i] - borders.front()), borders[i + 1] - borders[i]);
  }
  return texts;
}

std::vector<float> FileRecording::log_probabilities(std::size_t sequence) const {
  if (!file_.has("/tokens/log_probability")) return {};
  rows_dataset("/tokens/log_probability", {});
  const Rows rows = rows_of(sequence);
  return file_.read<float>("/tokens/log_probability", {{rows.begin}, {rows.count}});
}

std::shared_ptr<const Recording::Head> FileRecording::head(const Module& module, std::size_t head, std::size_t sequence) const {
  VITRINE_CHECK(head < module.heads);
  const Rows rows = rows_of(sequence);
  const std::string group = "/attention/" + module.name;
  auto result = std::make_shared<Head>();
  const auto factor = [&](const char* name, std::size_t index) {
    return file_.read<float>(group + name, {{rows.begin, index, 0}, {rows.count, 1, module.head_dim}});
  };
  result->q = factor("/q", head);
  result->k = factor("/k", head / (module.heads / module.kv_heads));  // grouped queries share keys
  result->normalizer = file_.read<float>(group + "/normalizer", {{rows.begin, head}, {rows.count, 1}});
  if (module.rule.kind == PatternKind::softmax_top_k) {
    result->threshold = file_.read<float>(group + "/threshold", {{rows.begin, head}, {rows.count, 1}});
  }
  PatternFactors& factors = result->factors;
  factors.q = {result->q.data(), {rows.count, module.head_dim}};
  factors.k = {result->k.data(), {rows.count, module.head_dim}};
  factors.normalizer = result->normalizer;
  factors.threshold = result->threshold;
  factors.score = module.score;
  factors.rule = module.rule;
  factors.head = head;
  return result;
}

std::vector<float> FileRecording::row_statistic(const Module& module, std::string_view name, std::size_t sequence) const {
  const Rows rows = rows_of(sequence);
  return file_.read<float>("/attention/" + module.name + "/" + std::string(name), {{rows.begin, 0}, {rows.count, module.heads}});
}

std::vector<float> FileRecording::activation(const Dataset& dataset, Rows rows) const {
  VITRINE_CHECK(rows.begin + rows.count <= rows_);
  CheckedFile::Box box{std::vector<std::size_t>(dataset.shape.size(), 0), dataset.shape};
  box.begin[0] = rows.begin;
  box.count[0] = rows.count;
  return file_.read<float>(dataset.name, box);
}

}  // namespace

bool is_hdf5_file(const std::filesystem::path& path) {
  constexpr std::string_view signature("\x89HDF\r\n\x1a\n", 8);
  char first[signature.size()] = {};
  std::ifstream(path, std::ios::binary).read(first, sizeof first);
  return std::string_view(first, sizeof first) == signature;
}

std::unique_ptr<Recording> Recording::open(const std::filesystem::path& path) {
  check_in_child(path.string(), [&] { FileRecording(path).walk(); });
  return std::make_unique<FileRecording>(path);
}

}  // namespace vitrine
