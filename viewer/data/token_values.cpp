#include "viewer/data/token_values.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "probes/figures/token_label.h"
#include "probes/row_norms.h"

namespace vitrine {

const std::array<TokenQuantityWords, 9> token_quantities{{
    {TokenQuantity::reads, "reads", "attention from the chosen token", "weight", false},
    {TokenQuantity::read_by, "read_by", "attention to the chosen token", "weight", false},
    {TokenQuantity::layer_reads, "layer_reads", "attention from it, mean of the layer's heads", "weight", false},
    {TokenQuantity::layer_read_by, "layer_read_by", "attention to it, mean of the layer's heads", "weight", false},
    {TokenQuantity::log_probability, "log_probability", "log-probability", "nats", false},
    {TokenQuantity::entropy, "entropy", "entropy of the head's row", "nats", false},
    {TokenQuantity::residual_norm, "residual_norm", "norm of the residual stream", "L2 norm", false},
    {TokenQuantity::attribution, "attribution", "attribution", "logits or nats", true},
    {TokenQuantity::loss_difference, "loss_difference", "loss less the reference's", "nats", true},
}};

const TokenQuantityWords& words_of(TokenQuantity quantity) { return *std::ranges::find(token_quantities, quantity, &TokenQuantityWords::quantity); }

namespace {

using Side = Recording::Side;
constexpr double none = std::numeric_limits<double>::quiet_NaN();

std::vector<double>& of(TokenValues& values, Side side) { return values.of_side[static_cast<std::size_t>(side)]; }

/// The value below which a share of those that are numbers lies; NaN where none are.
double quantile(const TokenValues& values, double share) {
  std::vector<double> all;
  for (const auto& side : values.of_side) std::ranges::copy_if(side, std::back_inserter(all), [](double each) { return std::isfinite(each); });
  if (all.empty()) return none;
  const auto place = all.begin() + static_cast<std::ptrdiff_t>(std::llround(share * static_cast<double>(all.size() - 1)));
  std::ranges::nth_element(all, place);
  return *place;
}

}  // namespace

void span_from_zero(TokenValues& values, double share) {
  const double high = quantile(values, share);
  values.low = 0.0;
  values.high = high > 0.0 ? high : 1.0;
}

void span_around_zero(TokenValues& values) {
  const double low = quantile(values, 0.0), high = quantile(values, 1.0), most = std::max(std::abs(low), std::abs(high));
  values.high = most > 0.0 ? most : 1.0;
  values.low = -values.high;
}

AttributedTokens attributed_tokens(const Json& attribution) {
  AttributedTokens tokens;
  if (attribution["tokens"].is_array()) {
    for (const Json& token : attribution["tokens"].items()) {
      tokens.ids.push_back(token["id"].is_integer() ? static_cast<std::int32_t>(token["id"].integer()) : -1);
      tokens.bytes.push_back(token["text"].is_string() ? token["text"].string() : "");
      tokens.scores.push_back(token["score"].is_number() ? token["score"].number() : none);
    }
  }
  const auto word = [](const Json& token) {
    return token["text"].is_string() ? "\u201c" + token_label(token["text"].string()) + "\u201d" : "token " + token["id"].dump();
  };
  tokens.note = (attribution["method"].is_string() ? attribution["method"].string() : "?") + ", of " + word(attribution["target"]);
  if (attribution["against"].is_object()) tokens.note += " less " + word(attribution["against"]);
  if (attribution["unit"].is_string()) tokens.note += ", in " + attribution["unit"].string();
  if (attribution["note"].is_string()) tokens.note += ". Note: " + attribution["note"].string();
  return tokens;
}

namespace {

class Maker {
 public:
  Maker(const TokenOrder& order, HeadShelf& shelf, Run& run) : order_(order), shelf_(shelf), run_(run), recording_(*order.map.document->recording) {}

  TokenValues make() {
    switch (order_.quantity) {
      case TokenQuantity::reads:
        return attention(Way::reads, Heads::one);
      case TokenQuantity::read_by:
        return attention(Way::read_by, Heads::one);
      case TokenQuantity::layer_reads:
        return attention(Way::reads, Heads::all);
      case TokenQuantity::layer_read_by:
        return attention(Way::read_by, Heads::all);
      case TokenQuantity::log_probability:
        return log_probability();
      case TokenQuantity::entropy:
        return entropy();
      case TokenQuantity::residual_norm:
        return residual_norm();
      case TokenQuantity::attribution:
        return attribution();
      case TokenQuantity::loss_difference:
        return loss_difference();
    }
    return {};
  }

 private:
  enum class Way { reads, read_by };
  enum class Heads { one, all };

  const Recording::Module* module() const { return recording_.modules().empty() ? nullptr : &recording_.modules()[order_.map.module]; }
  std::size_t count(Side side) const { return recording_.rows_of(order_.map.sequence, side).count; }

  TokenValues attention(Way way, Heads heads) {
    TokenValues values;
    if (module() == nullptr) return values.note = "This recording holds no attention.", values;
    const bool same_text = module()->queries == module()->keys;
    const std::optional<std::size_t> token = way == Way::reads ? order_.query : same_text ? order_.query : order_.key;
    if (!token)
      return values.note = way == Way::read_by && !same_text ? "Choose a token of the other text (shift click)." : "Choose a token: click on it.",
             values;
    std::vector<double>& sums = of(values, way == Way::reads ? module()->keys : module()->queries);
    const std::size_t first = heads == Heads::one ? order_.map.head : 0, end = heads == Heads::one ? first + 1 : module()->heads;
    for (std::size_t head = first; head < end; ++head) {
      if (run_.cancelled()) throw Cancelled();
      MapId map = order_.map;
      map.head = head;
      const auto factors = shelf_.take(map);
      const std::vector<float> weights = way == Way::reads ? row_weights(*factors, *token) : column_weights(*factors, *token);
      sums.resize(weights.size(), 0.0);
      for (std::size_t i = 0; i < weights.size(); ++i) sums[i] += static_cast<double>(weights[i]) / static_cast<double>(end - first);
    }
    span_from_zero(values);
    return values;
  }

  TokenValues log_probability() {
    TokenValues values;
    const std::vector<float> read = recording_.log_probabilities(order_.map.sequence);
    if (read.empty()) return values.note = "No log-probabilities were recorded: the model has no language-model head.", values;
    of(values, Side::text).assign(read.begin(), read.end());
    const double low = quantile(values, 0.01);  // one token in a hundred may be darker
    values.low = low < 0.0 ? low : -1.0;
    values.high = 0.0;
    return values;
  }

  TokenValues entropy() {
    TokenValues values;
    if (module() == nullptr) return values.note = "This recording holds no attention.", values;
    const std::vector<float> rows = recording_.row_statistic(*module(), "entropy", order_.map.sequence);
    std::vector<double>& own = of(values, module()->queries);
    for (std::size_t row = 0; row < rows.size() / module()->heads; ++row) own.push_back(rows[row * module()->heads + order_.map.head]);
    span_from_zero(values);
    return values;
  }

  /// In front of the block that the chosen module belongs to.
  TokenValues residual_norm() {
    TokenValues values;
    const std::string name = module() == nullptr ? "blocks.0.attn" : module()->name;
    const std::string wanted = "/activations/" + name.substr(0, name.rfind('.')) + ".hook_resid_pre";
    const auto found = std::ranges::find(recording_.activations(), wanted, &Recording::Dataset::name);
    if (found == recording_.activations().end()) return values.note = "The residual stream was not recorded: record with --points resid_pre.", values;
    of(values, found->side) = row_norms(recording_, *found, recording_.rows_of(order_.map.sequence, found->side), run_);
    span_from_zero(values, 0.98);  // first tokens are often far longer than all others
    return values;
  }

  TokenValues attribution() {
    TokenValues values;
    if (!order_.other) return values.note = "Open what `vitrine attribute --json` wrote of this text.", values;
    const AttributedTokens told = attributed_tokens(order_.other->json);
    for (const Side side : {Side::encoder, Side::text}) {
      if (side == Side::encoder && !recording_.has_encoder()) continue;
      if (recording_.token_ids(order_.map.sequence, side) == told.ids) of(values, side) = told.scores;
    }
    if (values.of_side[0].empty() && values.of_side[1].empty())
      return values.note = "The attribution is of another text: its token ids are not these.", values;
    values.note = told.note;
    span_around_zero(values);
    return values;
  }

  TokenValues loss_difference() {
    TokenValues values;
    if (!order_.other || order_.other == order_.map.document)
      return values.note = "Choose a reference: a second recording of the same text (Recordings, right click).", values;
    const Recording& other = *order_.other->recording;
    const std::size_t sequence = order_.map.sequence;
    if (sequence >= other.sequences()) return values.note = "The reference has no text of this number.", values;
    const std::vector<float> own = recording_.log_probabilities(sequence), theirs = other.log_probabilities(sequence);
    if (own.empty() || theirs.empty()) return values.note = "One of the two recordings holds no log-probabilities.", values;
    const std::vector<std::int32_t> ids = recording_.token_ids(sequence), other_ids = other.token_ids(sequence);
    const std::size_t shared = std::min(ids.size(), other_ids.size());
    const auto same = static_cast<std::size_t>(std::ranges::mismatch(ids, other_ids).in1 - ids.begin());
    std::vector<double>& losses = of(values, Side::text);
    losses.assign(ids.size(), none);
    for (std::size_t i = 0; i < same; ++i) losses[i] = static_cast<double>(theirs[i]) - static_cast<double>(own[i]);
    values.note = "against " + order_.other->path.filename().string() + "; above 0: this recording predicts the token worse";
    if (same < shared) values.note += ". The texts differ from token " + std::to_string(same) + " on: nothing is compared there";
    else if (ids.size() != other_ids.size())
      values.note += ". The texts have " + std::to_string(ids.size()) + " and " + std::to_string(other_ids.size()) + " tokens, of which the first " +
                     std::to_string(shared) + " are the same";
    span_around_zero(values);
    return values;
  }

  const TokenOrder& order_;
  HeadShelf& shelf_;
  Run& run_;
  const Recording& recording_;
};

}  // namespace

TokenValues token_values(const TokenOrder& order, HeadShelf& shelf, Run& run) { return Maker(order, shelf, run).make(); }

}  // namespace vitrine
