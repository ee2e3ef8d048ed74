#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "probes/map_pyramids_internal.h"
#include "probes/recorder.h"
#include "probes/recording_file_internal.h"
#include "probes/row_buffer_internal.h"
#include "probes/stored_types_internal.h"
#include "probes/writer_thread_internal.h"

namespace vitrine {

/// The numbers of some values as they lie in memory.
template <typename T>
std::span<const std::byte> bytes_of(std::span<const T> items) {
  return std::as_bytes(items);
}

/// A dataset of so many rows, for people.
Recorder::Dataset described(const RowDataset& dataset, std::size_t rows);

/// The recorder. What becomes of which point is planned in recorder_plan.cpp, before the first row; what happens to rows stands in
/// recorder.cpp.
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
  using Clock = std::chrono::steady_clock;
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
  void plan_pyramid(const RecordingFile::Module& module);
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
  RowBuffer* cell_ = nullptr;  // of each sequence's pyramids
  MapPyramids pyramids_;
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

}  // namespace vitrine
