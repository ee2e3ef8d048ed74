#include "probes/recorder.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "probes/file_recorder_internal.h"
#include "probes/top_logits.h"

namespace vitrine {
namespace {

constexpr double commit_seconds = 2.0;
constexpr std::size_t commit_bytes = std::size_t{64} << 20;

/// Adds the time of a scope to a sum.
class Stopwatch {
 public:
  explicit Stopwatch(double& sum) : sum_(sum), start_(std::chrono::steady_clock::now()) {}
  ~Stopwatch() { sum_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  double& sum_;
  std::chrono::steady_clock::time_point start_;
};

/// The same values, dense, in `numbers`.
TensorView<float, 3> copy_of(TensorView<const float, 3> values, std::vector<float>& numbers) {
  numbers.resize(values.size());
  const TensorView<float, 3> copy{numbers.data(), values.shape()};
  for (std::size_t r = 0; r < values.extent(0); ++r) {
    for (std::size_t h = 0; h < values.extent(1); ++h) std::copy_n(&values(r, h, 0), values.extent(2), &copy(r, h, 0));
  }
  return copy;
}

}  // namespace

void FileRecorder::start() {
  writer_.call([this] { file_.create(); });  // the user hears at once where the file cannot be made
  writer_.post([this] { file_.fill(source_, options_.provenance); });
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
  if (!pyramids_.empty()) pyramids_.see(point, rows, values, {text_.starts, encoder_.starts}, source_.ops);
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
  const std::uint64_t cell = MapPyramids::cell_of(std::max(tokens.size(), source.size()));
  if (cell_) cell_->append_raw(bytes_of<std::uint64_t>({&cell, 1}));
  std::vector<TokenId>& ids = ids_.emplace_back();
  for (const Token& token : tokens) ids.push_back(token.id);
}

void FileRecorder::extend_sequence(std::span<const Token> tokens) {
  const Stopwatch watch(seconds_);
  VITRINE_CHECK(!ids_.empty() && !cell_);
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

std::unique_ptr<Recorder> Recorder::create(const RecorderSource& source, RecorderOptions options) {
  auto recorder = std::make_unique<FileRecorder>(source, std::move(options));
  recorder->start();
  return recorder;
}

Recorder::Plan Recorder::plan(const RecorderSource& source, RecorderOptions options, std::span<const SequenceSize> sequences) {
  return FileRecorder(source, std::move(options)).plan(sequences);
}

}  // namespace vitrine
