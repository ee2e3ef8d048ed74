#include "probes/recorder.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>

#include "core/base/error.h"
#include "core/model/distance_bias.h"
#include "probes/recording_file_internal.h"
#include "probes/row_buffer_internal.h"
#include "probes/stored_types_internal.h"
#include "probes/top_logits.h"
#include "probes/writer_thread_internal.h"

namespace vitrine {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double commit_seconds = 2.0;
constexpr std::size_t commit_bytes = std::size_t{64} << 20;

/// Adds the time of a scope to a sum.
class Stopwatch {
 public:
  explicit Stopwatch(double& sum) : sum_(sum), start_(Clock::now()) {}
  ~Stopwatch() { sum_ += std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  double& sum_;
  Clock::time_point start_;
};

template <typename T>
std::span<const std::byte> bytes_of(std::span<const T> items) {
  return std::as_bytes(items);
}

/// The same values, dense, in `numbers`.
TensorView<float, 3> copy_of(TensorView<const float, 3> values, std::vector<float>& numbers) {
  numbers.resize(values.size());
  const TensorView<float, 3> copy{numbers.data(), values.shape()};
  for (std::size_t r = 0; r < values.extent(0); ++r) {
    for (std::size_t h = 0; h < values.extent(1); ++h) std::copy_n(&values(r, h, 0), values.extent(2), &copy(r, h, 0));
  }
  return copy;
}

constexpr int gzip_level = 2;  // 4 and 6 take as long again for a third of a percent less

ChunkFilters filters_of(Compression compression) {
  ChunkFilters filters;
  if (compression == Compression::gzip) filters.push_back(gzip_filter(gzip_level));
  return filters;
}

Recorder::Dataset described(const RowDataset& dataset, std::size_t rows) {
  const RowDataset::Shape& shape = dataset.shape();
  const std::string type(shape.type == DType::q8_0 ? "int8" : dtype_info(shape.type).name);
  return {shape.name, type, rows, shape.heads, shape.width, rows * dataset.heads() * dataset.row_bytes()};
}

class FileRecorder : public Recorder {
 public:
  /// Plans every dataset; start() makes the file.
  FileRecorder(const RecorderSource& source, RecorderOptions options);
  ~FileRecorder() override;
  void start();
  Plan plan(std::span<const SequenceSize> sequences);

  Access access(const ProbePoint& point) const override { return targets_.contains(point) ? Access::read : Access::none; }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override;
  void see_rule(const ProbePoint& point, std::span<const RowRef> rows, const ScoreRule& rule) override;
  void begin_sequence(std::span<const Token> tokens, std::span<const Token> source) override;
  void extend_sequence(std::span<const Token> tokens) override;
  void mark_scrubbed(std::span<const std::int32_t> marks) override;
  void end_sequence() override;
  void finish() override;
  Summary summary() const override;

 private:
  struct Target {
    RowBuffer* buffer;  // null: logits, which feed several datasets
    int column = -1;    // >= 0: this column of row_stats
  };
  /// Where the tokens of one side are described: of the text, or of the encoder's.
  struct TokenTable {
    RowBuffer *offset = nullptr, *id = nullptr, *begin = nullptr, *end = nullptr, *bytes = nullptr, *bytes_offset = nullptr, *scrubbed = nullptr;
    std::vector<std::size_t> starts{0};  // first row of each sequence, and one past the last
    std::vector<RowBuffer*> buffers;     // those with one row a token, which decide what is complete
    std::size_t text_bytes = 0;

    std::size_t complete_rows() const {
      std::size_t rows = starts.back();
      for (const RowBuffer* buffer : buffers) rows = std::min(rows, buffer->rows());
      return rows;
    }
  };
  void plan_tokens(TokenTable& table, std::string_view prefix);
  void plan_relative();
  void append_rule_rows(std::span<const RowRef> rows, const ScoreRule& rule);
  void append_tokens(TokenTable& table, std::span<const Token> tokens);
  void append_sequence(TokenTable& table, std::span<const Token> tokens);
  TokenTable& table_of(const ProbePoint& point) { return has_encoder_rows(point) ? encoder_ : text_; }
  void plan_logits();
  void plan_attention(const AttentionPlace& place);
  void plan_activation(const ProbePoint& point);
  RowBuffer& add(RowDataset::Shape shape);
  RowBuffer& add_rows(std::string name, DType type) { return add({.name = std::move(name), .type = type, .width = 0}); }
  void feed(const ProbePoint& point, RowBuffer& buffer, int column = -1);
  bool is_linked(const ProbePoint& point) const;
  void append(RowBuffer& buffer, TensorView<const float, 3> values);
  void append_square(RowBuffer& buffer, Site site, TensorView<const float, 3> values);
  void see_logits(std::span<const RowRef> rows, TensorView<float, 3> values);
  void add_to_summary(const ProbePoint& point, int column, TensorView<float, 3> values);
  void commit();
  void commit_when_due();
  std::size_t bytes() const;
  RecordingFile::Summaries summaries() const;

  RecorderSource source_;
  RecorderOptions options_;
  StoredTypes types_{source_, options_};
  RecordingFile file_;
  std::vector<std::unique_ptr<RowBuffer>> buffers_;
  std::map<ProbePoint, std::vector<Target>> targets_;
  RowBuffer *log_probability_ = nullptr, *top_id_ = nullptr, *top_value_ = nullptr, *log_sum_ = nullptr;
  RowBuffer *segment_ = nullptr, *allowed_ = nullptr;  // of a model whose distances meet the queries
  struct Known {
    std::size_t positions = 0;
    bool segments = false;
  };
  std::map<AttentionPlace, Known> known_;  // what of them is in the file
  TokenTable text_, encoder_;
  std::vector<std::vector<TokenId>> ids_;          // of sequences in progress and done
  std::vector<float> last_logits_;                 // of the last row of the last sequence, which may go on
  float last_log_sum_ = 0.0f;
  std::map<std::pair<AttentionPlace, int>, std::vector<double>> sums_;  // (attention, statistic) -> [heads]
  std::optional<ProbePoint> first_point_;          // of a pass: when it comes again, everything before it is complete
  std::size_t bytes_at_commit_ = 0, commits_ = 0, committed_rows_ = 0;
  Clock::time_point last_commit_ = Clock::now();
  double seconds_ = 0.0;
  bool failed_ = false, finished_ = false;
  WriterThread writer_;  // last: its jobs use what stands above
};

FileRecorder::FileRecorder(const RecorderSource& source, RecorderOptions options)
    : source_(source), options_(std::move(options)), file_(options_.path, filters_of(options_.compression)),
      writer_(options_.compression == Compression::none && options_.readers.empty() ? 0 : source.ops.pool().threads()) {
  if (!options_.readers.empty()) file_.protect(std::move(options_.readers));
  plan_tokens(text_, "");
  if (!source_.model.spec.encoder.empty()) plan_tokens(encoder_, encoder_prefix);
  if (options_.top_logits > 0 && source_.model.spec.has_head) plan_logits();
  if (options_.attention != AttentionStorage::none) {
    plan_relative();
    for (const AttentionPlace& place : attention_places(source_.model.spec)) plan_attention(place);
  }
  for (const ProbePoint& point : options_.points) plan_activation(point);
  for (const ResidualLink& same : residual_links(source_.model.spec)) {
    if (file_.planned(same.existing)) file_.plan_link(same.name, same.existing);
  }
}

void FileRecorder::start() {
  writer_.call([this] { file_.create(); });  // the user hears at once where the file cannot be made
  writer_.post([this] { file_.fill(source_, options_.provenance); });
}

FileRecorder::Plan FileRecorder::plan(std::span<const SequenceSize> sequences) {
  SequenceSize sum;
  for (const SequenceSize& size : sequences) {
    sum.tokens += size.tokens;
    sum.text_bytes += size.text_bytes;
    sum.source_tokens += size.source_tokens;
    sum.source_bytes += size.source_bytes;
  }
  std::map<const RowBuffer*, std::size_t> rows;
  const auto count = [&](const TokenTable& table, std::size_t tokens, std::size_t bytes) {
    for (const RowBuffer* buffer : table.buffers) rows[buffer] = tokens;
    rows[table.offset] = sequences.size() + 1;
    rows[table.bytes_offset] = tokens + 1;
    rows[table.bytes] = bytes;
  };
  count(text_, sum.tokens, sum.text_bytes);
  if (encoder_.offset) count(encoder_, sum.source_tokens, sum.source_bytes);
  Plan plan;
  const h5::Library library;
  plan.file_bytes = file_.empty_bytes(source_, options_.provenance);
  for (const auto& buffer : buffers_) {
    plan.datasets.push_back(described(buffer->dataset(), rows.at(buffer.get())));
    plan.file_bytes += buffer->dataset().file_bytes(rows.at(buffer.get()));
  }
  return plan;
}

RowBuffer& FileRecorder::add(RowDataset::Shape shape) {
  shape.expected_rows = options_.expected_rows;
  buffers_.push_back(std::make_unique<RowBuffer>(file_.plan(std::move(shape)), writer_));
  return *buffers_.back();
}

void FileRecorder::feed(const ProbePoint& point, RowBuffer& buffer, int column) {
  targets_[point].push_back({&buffer, column});
  table_of(point).buffers.push_back(&buffer);
}

void FileRecorder::plan_tokens(TokenTable& table, std::string_view prefix) {
  const std::string side(prefix);
  table.offset = &add_rows(side + "/sequences/offset", DType::i64);
  table.id = &add_rows(side + "/tokens/id", DType::i32);
  table.begin = &add_rows(side + "/tokens/begin", DType::i64);
  table.end = &add_rows(side + "/tokens/end", DType::i64);
  table.bytes = &add_rows(side + "/tokens/bytes", DType::i8);
  table.bytes_offset = &add_rows(side + "/tokens/bytes_offset", DType::i64);
  const std::uint64_t zero = 0;
  table.offset->append_raw(bytes_of<std::uint64_t>({&zero, 1}));
  table.bytes_offset->append_raw(bytes_of<std::uint64_t>({&zero, 1}));
  table.buffers = {table.id, table.begin, table.end};
  const bool is_text = side.empty() == source_.model.spec.encoder.empty();  // what a user wrote
  if (!is_text || options_.scrub_labels.empty()) return;
  table.scrubbed = &add_rows(side + "/tokens/scrubbed", DType::i32);
  table.buffers.push_back(table.scrubbed);
}

void FileRecorder::plan_logits() {
  const std::size_t count = std::min(options_.top_logits, source_.model.spec.vocabulary);
  log_probability_ = &add_rows("/tokens/log_probability", DType::f32);
  log_sum_ = &add_rows("/top_logits/log_sum_exp", DType::f32);
  top_id_ = &add({.name = "/top_logits/id", .type = DType::i32, .width = count});
  top_value_ = &add({.name = "/top_logits/value", .type = DType::f32, .width = count});
  for (RowBuffer* buffer : {log_probability_, log_sum_, top_id_, top_value_}) text_.buffers.push_back(buffer);
  targets_[{.stack = source_.model.spec.stack, .site = Site::logits}].push_back({nullptr});
}

/// What scores take from each token where the distance meets the query.
void FileRecorder::plan_relative() {
  const ModelSpec& spec = source_.model.spec;
  if (!spec.blocks.front().attention.relative) return;
  segment_ = &add_rows("/tokens/segment", DType::i32);
  text_.buffers.push_back(segment_);
  if (!spec.query_stream) return;
  allowed_ = &add({.name = "/tokens/allowed", .type = DType::i64, .width = BitView::words_of(options_.longest_sequence)});
  text_.buffers.push_back(allowed_);
}

void FileRecorder::plan_attention(const AttentionPlace& place) {
  const AttentionSpec& spec = attention_at(source_.model.spec, place);
  const std::string group = attention_group(place);
  const PatternRule rule = types_.rule_of(place);
  RecordingFile::Module module{place, &spec, rule, {}};
  if (place.role == AttentionRole::self) {
    module.bias = distance_bias(*stack_of(source_.model.spec, place.point(Site::q)), source_.model.weights, place.block);
  }
  if (spec.relative) {
    VITRINE_CHECK(options_.longest_sequence > 0);
    module.reach = options_.longest_sequence - 1;
    if (spec.relative->furthest > 0) module.reach = std::min(module.reach, spec.relative->furthest);
  }
  file_.plan_attention(module);
  const auto factor = [&](const char* name, Site site, std::size_t heads) {
    const ProbePoint point = place.point(site);
    feed(point, add({.name = group + name, .type = types_.type_of(point), .heads = heads, .width = spec.head_dim}));
  };
  factor("/q", Site::rot_q, spec.heads);
  factor("/k", Site::rot_k, spec.kv_heads);
  feed(place.point(Site::normalizer), add({.name = group + "/normalizer", .width = spec.heads}));
  if (rule.kind == PatternKind::softmax_top_k) feed(place.point(Site::threshold), add({.name = group + "/threshold", .width = spec.heads}));
  for (std::size_t column = 0; column < row_statistics.size(); ++column) {
    feed(place.point(Site::row_stats), add({.name = group + "/" + std::string(row_statistics[column]), .width = spec.heads}), static_cast<int>(column));
  }
}

/// Whether the point is another one of the file under another name, in the type that is asked for.
bool FileRecorder::is_linked(const ProbePoint& point) const {
  for (const ResidualLink& same : residual_links(source_.model.spec)) {
    if (same.name != activation_path(point)) continue;
    const auto twin = std::ranges::find(options_.points, same.existing, activation_path);
    return twin != options_.points.end() && types_.type_of(*twin) == types_.type_of(point);
  }
  return false;
}

void FileRecorder::plan_activation(const ProbePoint& point) {
  const std::string name = activation_path(point);
  if (file_.planned(name) || is_linked(point)) return;
  const std::string factor = factor_path(point);
  if (!factor.empty() && file_.planned(factor)) return file_.plan_link(name, factor);
  PointShape shape = point_shape(source_.model.spec, point);
  if (is_square(point.site)) {
    VITRINE_CHECK(options_.longest_sequence > 0);
    shape.width = options_.longest_sequence;
  }
  const bool plain = shape.heads == 1 && point.site != Site::z && !is_square(point.site);
  feed(point, add({.name = name, .type = types_.type_of(point), .heads = plain ? 0 : shape.heads, .width = shape.width}));
}

void FileRecorder::append(RowBuffer& buffer, TensorView<const float, 3> values) {
  std::size_t done = buffer.append(values, source_.ops);
  if (done == values.extent(0)) return;
  buffer.flush_tail();
  std::vector<std::byte> chunk;
  writer_.call([&] { chunk = file_.promote(buffer.dataset(), buffer.rows()); });
  buffer.adopt(chunk);
  done += buffer.append(values.slice(done, values.extent(0) - done), source_.ops);
  VITRINE_CHECK(done == values.extent(0));
}

/// Rows of a map, filled up to the longest sequence: weights with 0, scores with -inf.
void FileRecorder::append_square(RowBuffer& buffer, Site site, TensorView<const float, 3> values) {
  const std::size_t width = buffer.dataset().width(), heads = values.extent(1);
  const float none = site == Site::pattern ? 0.0f : -std::numeric_limits<float>::infinity();
  std::vector<float> rows(values.extent(0) * heads * width, none);
  for (std::size_t r = 0; r < values.extent(0); ++r) {
    for (std::size_t h = 0; h < heads; ++h) std::copy_n(&values(r, h, 0), std::min(width, values.extent(2)), rows.begin() + static_cast<std::ptrdiff_t>((r * heads + h) * width));
  }
  append(buffer, {rows.data(), {values.extent(0), heads, width}});
}

void FileRecorder::see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) {
  const Stopwatch watch(seconds_);
  const auto found = targets_.find(point);
  if (found == targets_.end() || failed_) return;
  failed_ = true;  // until this call has ended well
  if (!first_point_) first_point_ = point;
  if (point == *first_point_) commit_when_due();
  std::vector<float> multiplied;
  if (const KvFormat rounding = types_.rounding_of(point); rounding != KvFormat()) {
    values = copy_of(values, multiplied);
    round_as_multiplied(rounding, types_.kernel_rule(point.block), source_.ops, values);
  }
  for (const Target& target : found->second) {
    if (target.buffer == nullptr) {
      see_logits(rows, values);
      continue;
    }
    const std::vector<std::size_t>& starts = table_of(point).starts;
    VITRINE_CHECK(rows.front().sequence + 1 < starts.size());
    VITRINE_CHECK(target.buffer->rows() == starts[rows.front().sequence] + rows.front().position);
    TensorView<const float, 3> part = values;
    if (target.column >= 0) {
      part = {&values(0, 0, static_cast<std::size_t>(target.column)), {values.extent(0), 1, values.extent(1)},
              {values.stride(0), 1, values.stride(1)}};
      add_to_summary(point, target.column, values);
    } else if (target.buffer->dataset().shape().heads == 0 && values.extent(1) > 1) {  // [rows, heads] of one number each
      part = {values.data(), {values.extent(0), 1, values.extent(1)}, {values.stride(0), 1, values.stride(1)}};
    }
    is_square(point.site) ? append_square(*target.buffer, point.site, values) : append(*target.buffer, part);
  }
  failed_ = false;
}

void FileRecorder::see_rule(const ProbePoint& point, std::span<const RowRef> rows, const ScoreRule& rule) {
  const Stopwatch watch(seconds_);
  if (!segment_ || failed_ || point.stream != Stream::content) return;
  failed_ = true;  // until this call has ended well
  if (point.block == 0) append_rule_rows(rows, rule);
  const ContentByDistance& content = rule.content;
  Known& known = known_[place_of(point)];
  if (content.r.extent(0) > known.positions || (content.has_segments() && !known.segments)) {
    known = {std::max(known.positions, content.r.extent(0)), known.segments || content.has_segments()};
    writer_.call([&] { file_.write_positions(place_of(point), content); });
  }
  failed_ = false;
}

void FileRecorder::append_rule_rows(std::span<const RowRef> rows, const ScoreRule& rule) {
  const ContentByDistance& content = rule.content;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const std::int32_t segment = content.has_segments() ? content.query_segment[r] : no_segment;
    segment_->append_raw(bytes_of<std::int32_t>({&segment, 1}));
    if (!allowed_) continue;
    std::vector<std::uint64_t> words(allowed_->dataset().width(), ~std::uint64_t{0});
    for (std::size_t word = 0; word < words.size() && !rule.allowed.empty(); ++word) words[word] = rule.allowed.word(r, word * 64);
    allowed_->append_raw(bytes_of<std::uint64_t>(words));
  }
}

void FileRecorder::see_logits(std::span<const RowRef> rows, TensorView<float, 3> values) {
  const std::size_t count = top_id_->dataset().width(), vocabulary = values.extent(2);
  std::vector<std::int32_t> top_ids(rows.size() * count);
  std::vector<float> top_values(rows.size() * count), log_sums(rows.size()), next(rows.size());
  source_.ops.pool().run(rows.size(), [&](std::size_t r, std::size_t) {
    const std::span<const float> row(&values(r, 0, 0), vocabulary);
    largest_logits(row, {top_ids.data() + r * count, count}, {top_values.data() + r * count, count});
    const auto best = static_cast<std::size_t>(top_ids[r * count]);
    log_sums[r] = static_cast<float>(row[best] - source_.ops.log_probability(row, best));
    const std::vector<TokenId>& ids = ids_[rows[r].sequence];
    const std::size_t position = rows[r].position + 1;
    next[r] = position < ids.size() ? row[static_cast<std::size_t>(ids[position])] - log_sums[r] : 0.0f;
  });
  if (const RowRef& last = rows.back(); last.sequence + 1 == ids_.size() && last.position + 1 == ids_.back().size()) {
    const float* row = &values(rows.size() - 1, 0, 0);
    last_logits_.assign(row, row + vocabulary);
    last_log_sum_ = log_sums.back();
  }
  top_id_->append_raw(bytes_of<std::int32_t>(top_ids));
  top_value_->append_raw(bytes_of<float>(top_values));
  log_sum_->append_raw(bytes_of<float>(log_sums));
  const float none = std::numeric_limits<float>::quiet_NaN();
  for (std::size_t r = 0; r < rows.size(); ++r) {  // the probability of a token comes with the row before it
    if (rows[r].position == 0) log_probability_->append_raw(bytes_of<float>({&none, 1}));
    if (rows[r].position + 1 < ids_[rows[r].sequence].size()) log_probability_->append_raw(bytes_of<float>({&next[r], 1}));
  }
}

void FileRecorder::add_to_summary(const ProbePoint& point, int column, TensorView<float, 3> values) {
  std::vector<double>& sums = sums_[{place_of(point), column}];
  sums.resize(values.extent(1));
  for (std::size_t r = 0; r < values.extent(0); ++r) {
    for (std::size_t h = 0; h < values.extent(1); ++h) sums[h] += values(r, h, static_cast<std::size_t>(column));
  }
}

void FileRecorder::append_tokens(TokenTable& table, std::span<const Token> tokens) {
  const Tokenizer* tokenizer = source_.model.tokenizer.get();
  for (const Token& token : tokens) {
    const std::uint64_t begin = token.begin, end = token.end;
    table.id->append_raw(bytes_of<std::int32_t>({&token.id, 1}));
    table.begin->append_raw(bytes_of<std::uint64_t>({&begin, 1}));
    table.end->append_raw(bytes_of<std::uint64_t>({&end, 1}));
    const std::string piece = tokenizer ? tokenizer->piece(token.id) : "";
    table.bytes->append_raw(bytes_of<char>(piece));
    table.text_bytes += piece.size();
    const std::uint64_t text_bytes = table.text_bytes;
    table.bytes_offset->append_raw(bytes_of<std::uint64_t>({&text_bytes, 1}));
  }
}

void FileRecorder::append_sequence(TokenTable& table, std::span<const Token> tokens) {
  append_tokens(table, tokens);
  table.starts.push_back(table.starts.back() + tokens.size());
  const std::uint64_t border = table.starts.back();
  table.offset->append_raw(bytes_of<std::uint64_t>({&border, 1}));
}

void FileRecorder::begin_sequence(std::span<const Token> tokens, std::span<const Token> source) {
  const Stopwatch watch(seconds_);
  append_sequence(text_, tokens);
  if (encoder_.offset) append_sequence(encoder_, source);
  std::vector<TokenId>& ids = ids_.emplace_back();
  for (const Token& token : tokens) ids.push_back(token.id);
}

void FileRecorder::extend_sequence(std::span<const Token> tokens) {
  const Stopwatch watch(seconds_);
  VITRINE_CHECK(!ids_.empty());
  if (tokens.empty()) return;
  // Where the row before them was seen already, its logits say how probable the first is.
  const bool seen = !ids_.back().empty() && log_sum_ && log_sum_->rows() == text_.starts.back();
  if (seen) {
    const float log_probability = last_logits_[static_cast<std::size_t>(tokens.front().id)] - last_log_sum_;
    log_probability_->append_raw(bytes_of<float>({&log_probability, 1}));
  }
  append_tokens(text_, tokens);
  for (const Token& token : tokens) ids_.back().push_back(token.id);
  text_.starts.back() += tokens.size();
  const std::size_t chunk = text_.offset->dataset().chunk_rows();
  const std::vector<std::uint64_t> borders(text_.starts.begin() + static_cast<std::ptrdiff_t>((text_.starts.size() - 1) / chunk * chunk), text_.starts.end());
  text_.offset->rewrite_chunk(bytes_of<std::uint64_t>(borders));
}

void FileRecorder::mark_scrubbed(std::span<const std::int32_t> marks) {
  RowBuffer* buffer = (encoder_.offset ? encoder_ : text_).scrubbed;
  VITRINE_CHECK(buffer != nullptr);
  buffer->append_raw(bytes_of<std::int32_t>(marks));
}

void FileRecorder::end_sequence() {
  const Stopwatch watch(seconds_);
  commit_when_due();
}

/// Of all numbers so far, in the file or still on their way to it.
std::size_t FileRecorder::bytes() const {
  std::size_t sum = 0;
  for (const auto& buffer : buffers_) sum += buffer->bytes();
  return sum;
}

void FileRecorder::commit() {
  for (auto& buffer : buffers_) buffer->flush_tail();
  committed_rows_ = text_.complete_rows();
  const RecordingFile::Rows rows{committed_rows_, encoder_.complete_rows()};
  writer_.post([this, rows] { file_.commit(rows); });
  last_commit_ = Clock::now();
  bytes_at_commit_ = bytes();
  ++commits_;
}

void FileRecorder::commit_when_due() {
  const double age = std::chrono::duration<double>(Clock::now() - last_commit_).count();
  if (age > commit_seconds || bytes() - bytes_at_commit_ > commit_bytes) commit();
}

void FileRecorder::finish() {
  const Stopwatch watch(seconds_);
  VITRINE_CHECK(!failed_ && !finished_ && text_.complete_rows() == text_.starts.back() && encoder_.complete_rows() == encoder_.starts.back());
  failed_ = true;
  commit();
  writer_.call([this, means = summaries()] { file_.finish(means); });
  failed_ = false;
  finished_ = true;
}

RecordingFile::Summaries FileRecorder::summaries() const {
  const std::vector<AttentionPlace> places = attention_places(source_.model.spec);
  std::size_t heads = 0;
  for (const AttentionPlace& place : places) heads = std::max(heads, attention_at(source_.model.spec, place).heads);
  RecordingFile::Summaries means;
  means.fill(std::vector<double>(places.size() * heads, std::numeric_limits<double>::quiet_NaN()));
  for (const auto& [key, sums] : sums_) {
    const auto& [place, statistic] = key;
    const auto row = static_cast<std::size_t>(std::ranges::find(places, place) - places.begin());
    const auto rows = static_cast<double>((place.stack == Stack::encoder ? encoder_ : text_).starts.back());
    for (std::size_t h = 0; h < sums.size(); ++h) means[static_cast<std::size_t>(statistic)][row * heads + h] = sums[h] / rows;
  }
  return means;
}

Recorder::Summary FileRecorder::summary() const {
  Summary result;
  for (const auto& buffer : buffers_) result.datasets.push_back(described(buffer->dataset(), buffer->rows()));
  result.rows = committed_rows_;
  result.commits = commits_;
  result.seconds = seconds_;
  return result;
}

FileRecorder::~FileRecorder() {
  if (finished_ || !file_.is_open()) return;
  try {
    if (!failed_) commit();  // a Ctrl-C: what is complete stays readable
    writer_.wait();
  } catch (...) {  // a full disk: what was committed before stays readable
  }
  const h5::Library library;  // the writer has nothing left to do
  file_.close();
}

}  // namespace

std::unique_ptr<Recorder> Recorder::create(const RecorderSource& source, RecorderOptions options) {
  auto recorder = std::make_unique<FileRecorder>(source, std::move(options));
  recorder->start();
  return recorder;
}

Recorder::Plan Recorder::plan(const RecorderSource& source, RecorderOptions options, std::span<const SequenceSize> sequences) {
  return FileRecorder(source, std::move(options)).plan(sequences);
}

}  // namespace vitrine
