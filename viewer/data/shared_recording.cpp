#include "viewer/data/shared_recording.h"

#include <mutex>

namespace vitrine {
namespace {

std::mutex& one_reader() {
  static std::mutex mutex;
  return mutex;
}

template <class Call>
auto in_turn(const Call& call) {
  const std::lock_guard lock(one_reader());
  return call();
}

class SharedRecording : public Recording {
 public:
  explicit SharedRecording(std::unique_ptr<Recording> recording) : inner_(std::move(recording)) {}
  ~SharedRecording() override {
    const std::lock_guard lock(one_reader());
    inner_.reset();
  }

  const std::filesystem::path& path() const override { return inner_->path(); }
  const Json& provenance() const override { return inner_->provenance(); }
  bool finished() const override { return inner_->finished(); }
  bool may_read(DataClass data) const override { return inner_->may_read(data); }
  std::size_t sequences() const override { return inner_->sequences(); }
  bool has_encoder() const override { return inner_->has_encoder(); }
  Rows rows_of(std::size_t sequence, Side side) const override { return inner_->rows_of(sequence, side); }
  std::span<const Module> modules() const override { return inner_->modules(); }
  std::span<const Dataset> activations() const override { return inner_->activations(); }

  void note(const AuditEvent& event) const override { in_turn([&] { inner_->note(event); }); }
  std::vector<std::int32_t> token_ids(std::size_t sequence, Side side) const override { return in_turn([&] { return inner_->token_ids(sequence, side); }); }
  std::vector<std::string> token_texts(std::size_t sequence, Side side) const override { return in_turn([&] { return inner_->token_texts(sequence, side); }); }
  std::vector<std::int32_t> scrub_marks(std::size_t sequence, Side side) const override { return in_turn([&] { return inner_->scrub_marks(sequence, side); }); }
  std::vector<float> log_probabilities(std::size_t sequence) const override { return in_turn([&] { return inner_->log_probabilities(sequence); }); }
  TopTokens top_tokens(std::size_t sequence, std::size_t row) const override { return in_turn([&] { return inner_->top_tokens(sequence, row); }); }
  std::shared_ptr<const Head> head(const Module& module, std::size_t head, std::size_t sequence) const override { return in_turn([&] { return inner_->head(module, head, sequence); }); }
  std::vector<float> row_statistic(const Module& module, std::string_view name, std::size_t sequence) const override {
    return in_turn([&] { return inner_->row_statistic(module, name, sequence); });
  }
  std::vector<double> summary(std::string_view statistic) const override { return in_turn([&] { return inner_->summary(statistic); }); }
  std::optional<Squares> squares(const Module& module, std::size_t head, std::size_t sequence, std::size_t level) const override {
    return in_turn([&] { return inner_->squares(module, head, sequence, level); });
  }
  std::vector<float> activation(const Dataset& dataset, Rows rows) const override { return in_turn([&] { return inner_->activation(dataset, rows); }); }

 private:
  std::unique_ptr<Recording> inner_;
};

}  // namespace

std::unique_ptr<Recording> share(std::unique_ptr<Recording> recording) { return std::make_unique<SharedRecording>(std::move(recording)); }

std::unique_ptr<Recording> open_shared(const std::filesystem::path& path) {
  const std::lock_guard lock(one_reader());
  return share(Recording::open(path));
}

}  // namespace vitrine
