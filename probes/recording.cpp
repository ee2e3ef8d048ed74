#include "probes/recording.h"

#include <algorithm>
#include <bit>
#include <fstream>
#include <limits>
#include <tuple>

#include "core/base/error.h"
#include "probes/checked_file_internal.h"
#include "probes/child_check.h"
#include "probes/recorded_terms_internal.h"
#include "probes/recording_layout_internal.h"

namespace vitrine {
namespace {

constexpr std::uint64_t most_heads = 65536, most_rows = std::uint64_t{1} << 40;
constexpr std::uint64_t most_direction_work = std::uint64_t{1} << 30;  // operations: features * head_dim^2

/// Squares of four together; a mean counts as much as its square is large. @param queries, keys  of the whole map
Recording::Squares halved(const Recording::Squares& fine, std::size_t queries, std::size_t keys) {
  Recording::Squares coarse{fine.cell * 2, (fine.rows + 1) / 2, (fine.columns + 1) / 2, {}, {}};
  const auto side = [&](std::size_t at, std::size_t all) { return static_cast<float>(std::min(fine.cell, all - at * fine.cell)); };
  for (std::size_t i = 0; i < coarse.rows; ++i) {
    for (std::size_t j = 0; j < coarse.columns; ++j) {
      float largest = 0.0f, sum = 0.0f, area = 0.0f;
      for (std::size_t row = 2 * i; row < std::min(2 * i + 2, fine.rows); ++row) {
        for (std::size_t column = 2 * j; column < std::min(2 * j + 2, fine.columns); ++column) {
          const float weight = side(row, queries) * side(column, keys);
          largest = std::max(largest, fine.largest[row * fine.columns + column]);
          sum += weight * fine.mean[row * fine.columns + column];
          area += weight;
        }
      }
      coarse.largest.push_back(largest);
      coarse.mean.push_back(sum / area);
    }
  }
  return coarse;
}

class FileRecording : public Recording {
 public:
  /// @param secret  null: the file must not be protected
  FileRecording(const std::filesystem::path& path, const SharedSecret& secret);
  ~FileRecording() override;
  /// From now on the audit log is told.
  void start_audit();
  /// Reads every index and the first and last number of everything: what the child does before the parent dares to.
  void walk() const;

  const std::filesystem::path& path() const override { return path_; }
  const Json& provenance() const override { return provenance_; }
  bool finished() const override { return finished_; }
  bool may_read(DataClass data) const override { return file_.keys() == nullptr || file_.keys()->opens(data); }
  void note(const AuditEvent& event) const override;
  std::size_t sequences() const override { return text_.offsets.size() - 1; }
  bool has_encoder() const override { return has_encoder_; }
  Rows rows_of(std::size_t sequence, Side side) const override;
  std::vector<std::int32_t> token_ids(std::size_t sequence, Side side) const override;
  std::vector<std::string> token_texts(std::size_t sequence, Side side) const override;
  std::vector<std::int32_t> scrub_marks(std::size_t sequence, Side side) const override;
  std::vector<float> log_probabilities(std::size_t sequence) const override;
  TopTokens top_tokens(std::size_t sequence, std::size_t row) const override;
  std::span<const Module> modules() const override { return modules_; }
  std::shared_ptr<const Head> head(const Module& module, std::size_t head, std::size_t sequence) const override;
  std::vector<float> row_statistic(const Module& module, std::string_view name, std::size_t sequence) const override;
  std::vector<double> summary(std::string_view statistic) const override;
  std::optional<Squares> squares(const Module& module, std::size_t head, std::size_t sequence, std::size_t level) const override;
  std::span<const Dataset> activations() const override { return activations_; }
  std::vector<float> activation(const Dataset& dataset, Rows rows) const override;

 private:
  void read_root();
  /// The tokens of one side.
  struct TokenTable {
    std::string prefix;
    std::size_t rows = 0, text_bytes = 0;    // committed
    std::vector<std::uint64_t> offsets{0};   // [sequences + 1], inside the committed rows
  };
  void read_sequences(TokenTable& table);
  const TokenTable& table_of(Side side) const { return side == Side::encoder ? encoder_ : text_; }
  void read_modules();
  Module read_module(const std::string& name) const;
  PatternRule read_rule(const std::string& group) const;
  PatternRule read_feature_rule(const std::string& group, PatternRule rule) const;
  PatternRule read_block_rule(const std::string& group, PatternRule rule) const;
  void require_term_rows(const Module& module) const;
  void read_activations();
  void read_pyramids();
  /// Of a dataset with the rows of a side, without what an unfinished file holds behind its commit: a full disk may have
  /// stopped it between the extent and the numbers.
  CheckedFile::Info committed_info(const TokenTable& table, const std::string& name) const;
  /// Info of a dataset with one row a token; the extents behind the rows must be `width`.
  CheckedFile::Info rows_dataset(const TokenTable& table, const std::string& name, const std::vector<std::size_t>& width) const;
  void walk_dataset(const TokenTable& table, const std::string& name) const;

  std::filesystem::path path_;
  CheckedFile file_;
  Json provenance_;
  bool finished_ = false, has_encoder_ = false, audited_ = false;
  TokenTable text_{.prefix = ""}, encoder_{.prefix = std::string(encoder_prefix)};
  std::vector<Module> modules_;
  std::vector<Dataset> activations_;
  std::vector<std::uint64_t> cells_;  // of the sequences' pyramids; 0: a short text
};

FileRecording::FileRecording(const std::filesystem::path& path, const SharedSecret& secret) : path_(path), file_(path.string()) {
  if (file_.is_protected()) {
    if (!secret) throw Error({path.string(), "a key, for it is protected", "none", "give one with --key-file or VITRINE_KEY_FILE"});
    file_.unlock(*secret);
  }
  read_root();
  read_sequences(text_);
  has_encoder_ = file_.has("/encoder");
  if (has_encoder_) read_sequences(encoder_);
  if (has_encoder_ && encoder_.offsets.size() < text_.offsets.size()) {
    file_.fail("/encoder/sequences/offset", "as many texts as /sequences", std::to_string(encoder_.offsets.size() - 1));
  }
  read_modules();
  read_activations();
  read_pyramids();
}

FileRecording::~FileRecording() {
  if (!audited_ || file_.read_so_far().empty()) return;
  try {
    note({.action = "read", .datasets = {file_.read_so_far().begin(), file_.read_so_far().end()}});
  } catch (const std::exception&) {  // that it was opened stands there already, with the role that says what could be read
  }
}

void FileRecording::start_audit() {
  audited_ = file_.keys() != nullptr;
  note({.action = "open"});
}

void FileRecording::note(const AuditEvent& event) const {
  if (audited_) append_audit(path_, *file_.keys(), event);
}

void FileRecording::read_root() {
  if (file_.text("/", "format") != recording_format) file_.fail("/", "the format " + std::string(recording_format), "another");
  const std::uint64_t version = file_.count("/", "format_version", UINT32_MAX);
  if (version < plain_recording_version || version > recording_version) file_.fail("/", "format version 1 to 4", std::to_string(version));
  if ((version == protected_recording_version) != (file_.keys() != nullptr)) file_.fail("/", "a protected recording as format version 4 and only as that", "another");
  finished_ = file_.count("/", "finished", 1) == 1;
  for (const char* name : {"model", "architecture", "precision", "kernel", "machine"}) provenance_.set(name, file_.text("/", name));
  for (const char* name : {"blocks", "width", "vocabulary", "context"}) {
    provenance_.set(name, file_.count("/", name, most_rows));
  }
  const std::string where = path_.string() + ", provenance";
  Json told = parse_json(file_.text("/", "provenance"), where);
  if (file_.keys() && may_read(DataClass::text)) {
    const Json& sealed = told["sealed"];
    told = parse_json(opened_text(*file_.keys(), "provenance", sealed.is_string() ? sealed.string() : "", path_.string()), where);
  }
  provenance_.set("provenance", std::move(told));
}

CheckedFile::Info FileRecording::committed_info(const TokenTable& table, const std::string& name) const {
  if (finished_) return file_.info(name);
  if (name == table.prefix + "/tokens/bytes_offset") return file_.info(name, table.rows + 1);
  return file_.info(name, name == table.prefix + "/tokens/bytes" ? table.text_bytes : table.rows);
}

CheckedFile::Info FileRecording::rows_dataset(const TokenTable& table, const std::string& name, const std::vector<std::size_t>& width) const {
  CheckedFile::Info info = committed_info(table, name);
  if (info.shape.size() != width.size() + 1 || !std::equal(width.begin(), width.end(), info.shape.begin() + 1)) {
    std::string expected = "[pos";
    for (const std::size_t extent : width) expected += ", " + std::to_string(extent);
    file_.fail(name, expected + "]", "another shape");
  }
  if (info.shape[0] < table.rows) file_.fail(name, std::to_string(table.rows) + " rows", std::to_string(info.shape[0]));
  return info;
}

void FileRecording::read_sequences(TokenTable& table) {
  const std::string committed = table.prefix + "/sequences/committed", borders = table.prefix + "/sequences/offset",
                    bytes = table.prefix + "/tokens/bytes", bytes_borders = table.prefix + "/tokens/bytes_offset";
  if (file_.info(committed).shape != std::vector<std::size_t>{1}) file_.fail(committed, "[1]", "another shape");
  table.rows = file_.read<std::uint64_t>(committed, {{0}, {1}})[0];
  if (file_.keys()) table.rows = table.prefix.empty() ? file_.commit_record().rows : file_.commit_record().encoder_rows;
  if (table.rows > most_rows) file_.fail(committed, "a possible number of rows", std::to_string(table.rows));
  for (const char* name : {"/tokens/id", "/tokens/begin", "/tokens/end"}) rows_dataset(table, table.prefix + name, {});
  const CheckedFile::Info byte_info = committed_info(table, bytes_borders), offset = file_.info(borders);
  if (!finished_ && table.rows == 0) return;  // its writer was stopped before the first commit
  if (byte_info.shape.size() != 1 || byte_info.shape[0] < table.rows + 1) file_.fail(bytes_borders, "one border more than rows", "fewer");
  if (file_.may_read(bytes_borders)) table.text_bytes = file_.read<std::uint64_t>(bytes_borders, {{table.rows}, {1}})[0];
  if (committed_info(table, bytes).shape.size() != 1) file_.fail(bytes, "one axis", "more");
  if (offset.shape.size() != 1 || offset.shape[0] < 1) file_.fail(borders, "at least one border", "none");
  const auto all = file_.read<std::uint64_t>(borders, {{0}, {offset.shape[0]}});
  if (all.front() != 0) file_.fail(borders, "0 first", std::to_string(all.front()));
  for (std::size_t i = 1; i < all.size(); ++i) {
    if (all[i] < all[i - 1]) file_.fail(borders, "borders that never fall", std::to_string(all[i]));
    if (!finished_ && all[i - 1] >= table.rows && table.rows > 0) break;  // nothing of this sequence was committed
    table.offsets.push_back(std::min<std::uint64_t>(all[i], table.rows));
  }
  if (table.offsets.back() < table.rows) file_.fail(borders, "borders up to " + std::to_string(table.rows), std::to_string(table.offsets.back()));
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

Recording::Module FileRecording::read_module(const std::string& name) const {
  Module module;
  module.name = name;
  const std::optional<ProbePoint> point = parse_point(name + ".hook_q");
  if (!point || point->site != Site::q || point->stream != Stream::content || attention_name(place_of(*point)) != name) {
    file_.fail("/attention", "groups named blocks.N.attn, encoder.blocks.N.attn, ...", quoted(name));
  }
  module.block = static_cast<std::size_t>(point->block);
  module.queries = point->stack == Stack::encoder ? Side::encoder : Side::text;
  module.keys = has_encoder_rows({point->stack, point->stream, point->role, point->block, Site::k}) ? Side::encoder : Side::text;
  const std::string group = "/attention/" + name;
  if (module.keys == Side::encoder && !has_encoder_) file_.fail(group, "/encoder with the rows of its keys", "none");
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
  const TokenTable& queries = table_of(module.queries);
  const CheckedFile::Info q = rows_dataset(queries, group + "/q", {module.heads, module.head_dim});
  const CheckedFile::Info k = rows_dataset(table_of(module.keys), group + "/k", {module.kv_heads, module.head_dim});
  module.codes = q.type == "int8" || k.type == "int8";
  rows_dataset(queries, group + "/normalizer", {module.heads});
  if (module.rule.kind == PatternKind::softmax_top_k) rows_dataset(queries, group + "/threshold", {module.heads});
  for (const std::string_view statistic : row_statistics) rows_dataset(queries, group + "/" + std::string(statistic), {module.heads});
  read_terms_of_module(file_, group, module);
  require_term_rows(module);
  return module;
}

void FileRecording::read_modules() {
  for (const std::string& name : file_.members("/attention")) modules_.push_back(read_module(name));
  const auto order = [](const Module& module) { return std::tuple(module.queries != Side::encoder, module.block, module.queries != module.keys); };
  std::ranges::stable_sort(modules_, {}, order);
}

/// What a module's scores take from each token of a text that looks at itself.
void FileRecording::require_term_rows(const Module& module) const {
  if (!module.segments && !module.allowed) return;
  if (module.queries != module.keys || module.queries != Side::text) file_.fail("/attention/" + module.name, "segments and allowed keys of the text", "of another");
  if (module.segments) rows_dataset(text_, "/tokens/segment", {});
  if (!module.allowed) return;
  const CheckedFile::Info info = committed_info(text_, "/tokens/allowed");
  std::size_t longest = 0;
  for (std::size_t sequence = 0; sequence < sequences(); ++sequence) longest = std::max(longest, rows_of(sequence, Side::text).count);
  if (info.type != "u64" || info.shape.size() != 2 || info.shape[0] < text_.rows || info.shape[1] < BitView::words_of(longest)) {
    file_.fail("/tokens/allowed", "u64 [pos, words], a bit for each token of the longest sequence", "another type or shape");
  }
}

void FileRecording::read_activations() {
  std::vector<std::string> names;
  for (const std::string& name : file_.members("/activations")) names.push_back("/activations/" + name);
  if (file_.has("/logits")) names.push_back("/logits");
  for (const std::string& name : names) {
    const std::optional<ProbePoint> point = parse_point(std::string_view(name).substr(name.rfind('/') + 1));
    const Side side = has_encoder_ && point && has_encoder_rows(*point) ? Side::encoder : Side::text;
    const CheckedFile::Info info = committed_info(table_of(side), name);
    if (info.shape.size() < 2 || info.shape[0] < table_of(side).rows) file_.fail(name, "[pos, ...] with every row", "another shape");
    activations_.push_back({name, info.type, info.shape, info.bytes, side});
  }
}

void FileRecording::walk_dataset(const TokenTable& table, const std::string& name) const {
  const CheckedFile::Info info = committed_info(table, name);
  file_.walk_chunks(name);
  if (info.bytes == 0 || !file_.may_read(name)) return;
  const std::vector<std::size_t> ones(info.shape.size(), 1), first(info.shape.size(), 0);
  std::vector<std::size_t> last = info.shape;
  for (std::size_t& at : last) --at;
  file_.read<float>(name, {first, ones});
  file_.read<float>(name, {last, ones});
}

void FileRecording::walk() const {
  for (const TokenTable* table : {&text_, &encoder_}) {
    if (table == &encoder_ && !has_encoder_) continue;
    for (const std::string& name : file_.members(table->prefix + "/tokens")) walk_dataset(*table, table->prefix + "/tokens/" + name);
  }
  for (const Dataset& dataset : activations_) walk_dataset(table_of(dataset.side), dataset.name);
  for (const Module& module : modules_) {
    for (const std::string& name : file_.members("/attention/" + module.name)) {
      const std::string whole = "/attention/" + module.name + "/" + name;
      const bool of_rows = name == "k" || name == "q" || name == "normalizer" || name == "threshold" || std::ranges::find(row_statistics, name) != row_statistics.end();
      walk_dataset(of_rows ? table_of(name == "k" ? module.keys : module.queries) : TokenTable{.prefix = "none", .rows = most_rows}, whole);
    }
  }
  for (const Side side : {Side::text, Side::encoder}) {
    if (!may_read(DataClass::text)) break;
    for (std::size_t sequence = 0; sequence < std::min<std::size_t>(table_of(side).offsets.size() - 1, 1000); ++sequence) token_texts(sequence, side);
  }
}

Recording::Rows FileRecording::rows_of(std::size_t sequence, Side side) const {
  const std::vector<std::uint64_t>& offsets = table_of(side).offsets;
  VITRINE_CHECK(sequence + 1 < offsets.size());
  return {offsets[sequence], offsets[sequence + 1] - offsets[sequence]};
}

std::vector<std::int32_t> FileRecording::token_ids(std::size_t sequence, Side side) const {
  const Rows rows = rows_of(sequence, side);
  return file_.read<std::int32_t>(table_of(side).prefix + "/tokens/id", {{rows.begin}, {rows.count}});
}

std::vector<std::string> FileRecording::token_texts(std::size_t sequence, Side side) const {
  const Rows rows = rows_of(sequence, side);
  const TokenTable& table = table_of(side);
  const std::string borders_name = table.prefix + "/tokens/bytes_offset", bytes_name = table.prefix + "/tokens/bytes";
  const auto borders = file_.read<std::uint64_t>(borders_name, {{rows.begin}, {rows.count + 1}});
  const std::size_t stored = committed_info(table, bytes_name).shape[0];
  if (!std::is_sorted(borders.begin(), borders.end()) || borders.back() > stored) {
    file_.fail(borders_name, "rising borders up to " + std::to_string(stored), "others");
  }
  const auto bytes = file_.read<char>(bytes_name, {{borders.front()}, {borders.back() - borders.front()}});
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < rows.count; ++i) {
    texts.emplace_back(bytes.data() + (borders[i] - borders.front()), borders[i + 1] - borders[i]);
  }
  return texts;
}

std::vector<std::int32_t> FileRecording::scrub_marks(std::size_t sequence, Side side) const {
  const TokenTable& table = table_of(side);
  const std::string name = table.prefix + "/tokens/scrubbed";
  if (!file_.has(name)) return {};
  rows_dataset(table, name, {});
  const Rows rows = rows_of(sequence, side);
  return file_.read<std::int32_t>(name, {{rows.begin}, {rows.count}});
}

std::vector<float> FileRecording::log_probabilities(std::size_t sequence) const {
  if (!file_.has("/tokens/log_probability")) return {};
  rows_dataset(text_, "/tokens/log_probability", {});
  const Rows rows = rows_of(sequence, Side::text);
  return file_.read<float>("/tokens/log_probability", {{rows.begin}, {rows.count}});
}

Recording::TopTokens FileRecording::top_tokens(std::size_t sequence, std::size_t row) const {
  if (!file_.has("/top_logits/id")) return {};
  const CheckedFile::Info info = committed_info(text_, "/top_logits/id");
  if (info.shape.size() != 2) file_.fail("/top_logits/id", "[pos, count]", "another shape");
  rows_dataset(text_, "/top_logits/id", {info.shape[1]});
  rows_dataset(text_, "/top_logits/value", {info.shape[1]});
  rows_dataset(text_, "/top_logits/log_sum_exp", {});
  const Rows rows = rows_of(sequence, Side::text);
  VITRINE_CHECK(row < rows.count);
  const CheckedFile::Box box{{rows.begin + row, 0}, {1, info.shape[1]}};
  TopTokens top{file_.read<std::int32_t>("/top_logits/id", box), file_.read<float>("/top_logits/value", box)};
  const float sum = file_.read<float>("/top_logits/log_sum_exp", {{rows.begin + row}, {1}}).front();
  for (float& value : top.log_probabilities) value -= sum;
  return top;
}

std::shared_ptr<const Recording::Head> FileRecording::head(const Module& module, std::size_t head, std::size_t sequence) const {
  VITRINE_CHECK(head < module.heads);
  const Rows rows = rows_of(sequence, module.queries), keys = rows_of(sequence, module.keys);
  const std::string group = "/attention/" + module.name;
  auto result = std::make_shared<Head>();
  const auto factor = [&](const char* name, std::size_t index, const Rows& part) {
    return file_.read<float>(group + name, {{part.begin, index, 0}, {part.count, 1, module.head_dim}});
  };
  result->q = factor("/q", head, rows);
  result->k = factor("/k", head / (module.heads / module.kv_heads), keys);  // grouped queries share keys
  result->normalizer = file_.read<float>(group + "/normalizer", {{rows.begin, head}, {rows.count, 1}});
  if (module.rule.kind == PatternKind::softmax_top_k) {
    result->threshold = file_.read<float>(group + "/threshold", {{rows.begin, head}, {rows.count, 1}});
  }
  PatternFactors& factors = result->factors;
  factors.q = {result->q.data(), {rows.count, module.head_dim}};
  factors.k = {result->k.data(), {keys.count, module.head_dim}};
  factors.normalizer = result->normalizer;
  factors.threshold = result->threshold;
  factors.score = module.score;
  factors.rule = module.rule;
  read_terms_of_head(file_, {module, head, rows}, *result);
  return result;
}

std::vector<float> FileRecording::row_statistic(const Module& module, std::string_view name, std::size_t sequence) const {
  const Rows rows = rows_of(sequence, module.queries);
  return file_.read<float>("/attention/" + module.name + "/" + std::string(name), {{rows.begin, 0}, {rows.count, module.heads}});
}

std::vector<double> FileRecording::summary(std::string_view statistic) const {
  const std::string name = "/summary/" + std::string(statistic);
  const CheckedFile::Info info = file_.info(name);
  if (info.type != "f64" || info.shape.size() != 2 || info.shape[0] != modules_.size()) file_.fail(name, "f64 [" + std::to_string(modules_.size()) + ", head]", "another type or shape");
  return file_.read<double>(name, {{0, 0}, info.shape});
}

void FileRecording::read_pyramids() {
  constexpr const char* name = "/mips/cell";
  if (!file_.has(name)) return;
  const CheckedFile::Info info = file_.info(name);
  if (info.shape.size() != 1 || (finished_ && info.shape[0] != sequences())) file_.fail(name, std::to_string(sequences()) + " sequences", "another shape");
  cells_ = file_.read<std::uint64_t>(name, {{0}, {std::min(info.shape[0], sequences())}});
  for (const std::uint64_t cell : cells_) {
    if (cell > most_rows || !std::has_single_bit(std::max<std::uint64_t>(cell, 1))) file_.fail(name, "0 or a power of two", std::to_string(cell));
  }
}

std::optional<Recording::Squares> FileRecording::squares(const Module& module, std::size_t head, std::size_t sequence, std::size_t level) const {
  VITRINE_CHECK(head < module.heads && sequence < sequences());
  // A text that is being written has not its length yet.
  const bool complete = finished_ || sequence + 1 < sequences();
  const std::string group = "/mips/" + module.name;
  if (!complete || sequence >= cells_.size() || cells_[sequence] == 0 || !file_.has(group)) return {};
  const auto count = [](std::size_t tokens, std::uint64_t cell) { return cell == 0 ? 0 : (tokens + cell - 1) / cell; };
  std::size_t first = 0;
  for (std::size_t s = 0; s < sequence; ++s) first += count(rows_of(s, module.queries).count, cells_[s]);
  const std::size_t queries = rows_of(sequence, module.queries).count, keys = rows_of(sequence, module.keys).count;
  Squares squares{cells_[sequence], count(queries, cells_[sequence]), count(keys, cells_[sequence]), {}, {}};
  const auto read = [&](const char* what) {
    const CheckedFile::Info info = file_.info(group + what, finished_ ? most_rows : first + squares.rows);
    if (info.shape.size() != 3 || info.shape[0] < first + squares.rows || info.shape[1] != module.heads || info.shape[2] < squares.columns) {
      file_.fail(group + what, "[query_cell, " + std::to_string(module.heads) + ", key_cell] with every square of the texts", "another shape");
    }
    return file_.read<float>(group + what, {{first, head, 0}, {squares.rows, 1, squares.columns}});
  };
  squares.largest = read("/max");
  squares.mean = read("/mean");
  for (std::size_t step = 0; step < level; ++step) squares = halved(squares, queries, keys);
  return squares;
}

std::vector<float> FileRecording::activation(const Dataset& dataset, Rows rows) const {
  VITRINE_CHECK(rows.begin + rows.count <= table_of(dataset.side).rows);
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

std::vector<Recording::Module> own_modules(const Recording& recording) {
  std::vector<Recording::Module> own;
  for (const Recording::Module& module : recording.modules()) {
    if (module.queries == Recording::Side::text && module.keys == Recording::Side::text) own.push_back(module);
  }
  return own;
}

std::unique_ptr<Recording> Recording::open(const std::filesystem::path& path, const SharedSecret& secret) {
  const SharedSecret used = secret ? secret : secret_of_environment();
  check_in_child(path.string(), [&] { FileRecording(path, used).walk(); });
  auto recording = std::make_unique<FileRecording>(path, used);
  recording->start_audit();
  return recording;
}

bool Recording::is_protected(const std::filesystem::path& path) {
  return ask_child(path.string(), [&] { return CheckedFile(path.string()).is_protected(); });
}

}  // namespace vitrine
