#pragma once

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "probes/recording.h"
#include "viewer/data/document.h"

namespace vitrine {

/// A recording of any length in memory: every row of its maps is even but for spikes, each one key that its query reads alone. What stands
/// in a map is known without making it.
class SyntheticRecording : public Recording {
 public:
  using Spikes = std::vector<std::pair<std::size_t, std::size_t>>;  ///< query and key, at most 60, all queries and all keys different

  SyntheticRecording(std::size_t tokens, std::size_t modules, std::size_t heads, Spikes spikes) : tokens_(tokens), heads_(heads), spikes_(std::move(spikes)) {
    provenance_ = Json::object().set("model", "synthetic").set("kernel", "none").set("precision", "exact");
    for (std::size_t m = 0; m < modules; ++m) {
      Module module;
      module.name = "blocks." + std::to_string(m) + ".attn";
      module.block = m;
      module.heads = module.kv_heads = heads;
      module.head_dim = dim;
      module.score = {.scale = 1.0f, .mask = Mask::causal};
      modules_.push_back(module);
    }
  }

  const std::filesystem::path& path() const override { return path_; }
  const Json& provenance() const override { return provenance_; }
  bool finished() const override { return true; }
  bool may_read(DataClass) const override { return true; }
  void note(const AuditEvent&) const override {}
  std::size_t sequences() const override { return 1; }
  bool has_encoder() const override { return false; }
  Rows rows_of(std::size_t, Side) const override { return {0, tokens_}; }
  std::vector<std::int32_t> token_ids(std::size_t, Side) const override {
    std::vector<std::int32_t> ids;
    for (std::size_t i = 0; i < tokens_; ++i) ids.push_back(static_cast<std::int32_t>(i % 997));
    return ids;
  }
  std::vector<std::string> token_texts(std::size_t, Side) const override {
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < tokens_; ++i) texts.push_back(" w" + std::to_string(i % 997));
    return texts;
  }
  std::vector<std::int32_t> scrub_marks(std::size_t, Side) const override { return {}; }
  std::vector<float> log_probabilities(std::size_t) const override { return std::vector<float>(tokens_, -1.0f); }
  TopTokens top_tokens(std::size_t, std::size_t) const override { return {}; }
  std::span<const Module> modules() const override { return modules_; }
  std::shared_ptr<const Head> head(const Module&, std::size_t, std::size_t) const override {
    auto head = std::make_shared<Head>();
    head->q.assign(tokens_ * dim, 0.0f);
    head->k.assign(tokens_ * dim, 0.0f);
    head->normalizer.resize(tokens_);
    for (std::size_t i = 0; i < tokens_; ++i) head->normalizer[i] = static_cast<float>(std::log(static_cast<double>(i + 1)));
    for (std::size_t n = 0; n < spikes_.size(); ++n) {
      const auto [query, key] = spikes_[n];
      head->q[query * dim + n] = head->k[key * dim + n] = 5.0f;  // a score of 25 among zeros
      head->normalizer[query] = static_cast<float>(std::log(static_cast<double>(query) + std::exp(25.0)));
    }
    head->factors = {.q = {head->q.data(), {tokens_, dim}}, .k = {head->k.data(), {tokens_, dim}}, .normalizer = head->normalizer, .score = modules_.front().score, .rule = {}};
    return head;
  }
  std::vector<float> row_statistic(const Module&, std::string_view, std::size_t) const override { return std::vector<float>(tokens_ * heads_, 0.0f); }
  std::vector<double> summary(std::string_view) const override { return std::vector<double>(modules_.size() * heads_, 0.0); }
  std::optional<Squares> squares(const Module&, std::size_t, std::size_t, std::size_t) const override { return {}; }
  std::span<const Dataset> activations() const override { return {}; }
  std::vector<float> activation(const Dataset&, Rows) const override { return {}; }

 private:
  static constexpr std::size_t dim = 64;
  std::size_t tokens_, heads_;
  Spikes spikes_;
  std::filesystem::path path_ = "synthetic.h5";
  Json provenance_;
  std::vector<Module> modules_;
};

inline DocumentPointer synthetic_document(std::size_t tokens, std::size_t modules, std::size_t heads, SyntheticRecording::Spikes spikes) {
  auto document = std::make_shared<Document>();
  document->path = "synthetic.h5";
  document->recording = std::make_unique<SyntheticRecording>(tokens, modules, heads, std::move(spikes));
  return document;
}

}  // namespace vitrine
