#include "probes/attribution/path_integral.h"

#include <algorithm>
#include <cmath>
#include <numeric>

// The way is walked in t with a = (e^(k t) - 1) / (e^k - 1), evenly on a scale of logarithms behind the first e^-k: near a baseline norms divide
// by what is nearly nothing, block after block, and f changes within millionths of the way.

namespace vitrine {
namespace {

constexpr std::size_t piece_points = 8;
constexpr double narrowest = 1e-6;  // in t: below, f32 cannot tell both ends apart
constexpr double decay = 12.0;      // k

double place_of(double t) { return std::expm1(decay * t) / std::expm1(decay); }
double speed_of(double t) { return decay * std::exp(decay * t) / std::expm1(decay); }

/// From one t to another.
struct Piece {
  double from = 0.0, to = 0.0;
  double value_from = 0.0, value_to = 0.0;  // f
  std::vector<double> scores{};             // [tokens], empty: not yet integrated
  std::vector<double> doubts{};             // [tokens]
  double missed = 0.0;                      // |f(to) - f(from) - sum of the scores|
};

/// Weights of the rule that interpolates at all points but the two in the middle: what it differs by from the whole rule says how
/// smooth the integrand is.
std::vector<double> weights_without_middle(std::span<const QuadraturePoint> points) {
  std::vector<double> weights(points.size(), 0.0);
  const auto in_middle = [&](std::size_t i) { return i + 1 == points.size() / 2 || i == points.size() / 2; };
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (in_middle(i)) continue;
    for (const QuadraturePoint& at : points) {  // the whole rule integrates Lagrange's polynomials exactly
      double value = 1.0;
      for (std::size_t j = 0; j < points.size(); ++j) {
        if (j != i && !in_middle(j)) value *= (at.place - points[j].place) / (points[i].place - points[j].place);
      }
      weights[i] += at.weight * value;
    }
  }
  return weights;
}

class Way {
 public:
  Way(const EmbeddedText& text, const Numbers& baseline) : text_(text), baseline_(baseline), points_(gauss_legendre(piece_points)), fewer_(weights_without_middle(points_)) {}

  std::vector<double> values(std::span<const double> places) const {
    std::vector<Numbers> versions;
    for (const double t : places) versions.push_back(version(t));
    return text_.values(versions);
  }

  /// In the place of the integral, what secants between the ends share out (Tape::pull_back): it adds up whatever lies between. Secants of
  /// neighbours are derivatives, so that shrinking pieces come to the same.
  void share_out(Piece& piece) const {
    const Numbers from = version(piece.from), to = version(piece.to);
    const std::vector<double> integral = std::move(piece.scores);
    piece.scores = products_by_row(text_.multipliers(to, from).numbers, to, from);
    piece.doubts.assign(piece.scores.size(), 0.0);
    for (std::size_t t = 0; t < piece.scores.size(); ++t) piece.doubts[t] = std::abs(piece.scores[t] - integral[t]);
    piece.missed = std::abs(piece.value_to - piece.value_from - std::accumulate(piece.scores.begin(), piece.scores.end(), 0.0));
  }

  /// Integrates those that are not. Returns how many gradients that took.
  std::size_t integrate(std::vector<Piece>& pieces) const {
    std::vector<Piece*> open;
    for (Piece& piece : pieces) {
      if (piece.scores.empty()) open.push_back(&piece);
    }
    for (std::size_t begin = 0; begin < open.size(); begin += together) integrate(std::span(open).subspan(begin, std::min(together, open.size() - begin)));
    return open.size() * points_.size();
  }

 private:
  Numbers version(double t) const { return between(text_.embeddings(), baseline_, place_of(t)); }

  static constexpr std::size_t together = 16;  // pieces whose gradients are held at once

  void integrate(std::span<Piece* const> pieces) const {
    const Numbers& x = text_.embeddings();
    std::vector<Numbers> versions;
    for (const Piece* piece : pieces) {
      for (const QuadraturePoint& point : points_) versions.push_back(version(piece->from + point.place * (piece->to - piece->from)));
    }
    const EmbeddedText::Slopes slopes = text_.slopes(versions);
    for (std::size_t p = 0; p < pieces.size(); ++p) {
      Piece& piece = *pieces[p];
      piece.scores.assign(x.rows, 0.0);
      piece.doubts.assign(x.rows, 0.0);
      const double width = piece.to - piece.from;
      for (std::size_t i = 0; i < points_.size(); ++i) {
        const std::vector<double> sums = products_by_row(slopes.gradients[p * points_.size() + i], x, baseline_);
        const double step = width * speed_of(piece.from + points_[i].place * width);
        for (std::size_t t = 0; t < x.rows; ++t) {
          piece.scores[t] += points_[i].weight * step * sums[t];
          piece.doubts[t] += (points_[i].weight - fewer_[i]) * step * sums[t];
        }
      }
      for (double& doubt : piece.doubts) doubt = std::abs(doubt);
      piece.missed = std::abs(piece.value_to - piece.value_from - std::accumulate(piece.scores.begin(), piece.scores.end(), 0.0));
    }
  }

  const EmbeddedText& text_;
  const Numbers& baseline_;
  std::vector<QuadraturePoint> points_;
  std::vector<double> fewer_;  // weights
};

double all_missed(std::span<const Piece> pieces) {
  double sum = 0.0;
  for (const Piece& piece : pieces) sum += piece.missed;
  return sum;
}

/// Puts the pieces first that stay as they are: the best, which together miss no more than `allowed`, and all but the `most` worst.
/// Returns how many.
std::size_t sort_out(std::vector<Piece>& pieces, double allowed, std::size_t most) {
  std::ranges::sort(pieces, {}, &Piece::missed);
  double missed = 0.0;
  const auto too_much = [&](const Piece& piece) { return (missed += piece.missed) > allowed && piece.to - piece.from > narrowest; };
  const auto first = static_cast<std::size_t>(std::ranges::find_if(pieces, too_much) - pieces.begin());
  return std::max(first, pieces.size() - std::min(pieces.size(), most));
}

/// Both halves in the place of each piece behind the first `kept`.
void halve(const Way& way, std::size_t kept, std::vector<Piece>& pieces) {
  std::vector<double> middles;
  for (const Piece& piece : std::span(pieces).subspan(kept)) middles.push_back((piece.from + piece.to) / 2);
  const std::vector<double> values = way.values(middles);
  for (std::size_t i = 0; i < middles.size(); ++i) {
    Piece& piece = pieces[kept + i];
    Piece later{.from = middles[i], .to = piece.to, .value_from = values[i], .value_to = piece.value_to};
    piece = {.from = piece.from, .to = middles[i], .value_from = piece.value_from, .value_to = values[i]};
    pieces.push_back(std::move(later));
  }
}

/// Pieces that miss too much, neighbours as one, by secants. Returns what share of the way in t they are.
double share_out_rest(const Way& way, double allowed, std::vector<Piece>& pieces) {
  std::ranges::sort(pieces, {}, &Piece::missed);
  double missed = 0.0, share = 0.0;
  std::vector<Piece> kept, rest;
  for (Piece& piece : pieces) ((missed += piece.missed) > allowed ? rest : kept).push_back(std::move(piece));
  std::ranges::sort(rest, {}, &Piece::from);
  for (std::size_t begin = 0, end = 0; begin < rest.size(); begin = end) {
    for (end = begin + 1; end < rest.size() && rest[end].from == rest[end - 1].to;) ++end;
    Piece whole{.from = rest[begin].from, .to = rest[end - 1].to, .value_from = rest[begin].value_from, .value_to = rest[end - 1].value_to};
    whole.scores.assign(rest[begin].scores.size(), 0.0);
    for (const Piece& piece : std::span(rest).subspan(begin, end - begin)) {
      for (std::size_t t = 0; t < whole.scores.size(); ++t) whole.scores[t] += piece.scores[t];
    }
    way.share_out(whole);
    share += whole.to - whole.from;
    kept.push_back(std::move(whole));
  }
  pieces = std::move(kept);
  return share;
}

}  // namespace

PathIntegral integrate_by_rule(const EmbeddedText& text, const Numbers& baseline, std::size_t points) {
  const Numbers& x = text.embeddings();
  const std::vector<QuadraturePoint> rule = gauss_legendre(points);
  std::vector<Numbers> versions;
  for (const QuadraturePoint& point : rule) versions.push_back(between(x, baseline, point.place));
  const EmbeddedText::Slopes slopes = text.slopes(versions);
  const std::vector<double> ends = text.values(std::vector<Numbers>{x, baseline});
  PathIntegral integral{.scores = std::vector<double>(x.rows, 0.0), .doubts = {}, .value = ends[0], .baseline = ends[1], .gradients = points};
  for (std::size_t i = 0; i < rule.size(); ++i) {
    const std::vector<double> sums = products_by_row(slopes.gradients[i], x, baseline);
    for (std::size_t t = 0; t < x.rows; ++t) integral.scores[t] += rule[i].weight * sums[t];
  }
  return integral;
}

PathIntegral integrate_to(const EmbeddedText& text, const Numbers& baseline, const IntegralGoal& goal) {
  const Way way(text, baseline);
  const double ends[] = {0.0, 1.0};
  const std::vector<double> values = way.values(ends);
  PathIntegral integral{.scores = std::vector<double>(text.embeddings().rows, 0.0), .doubts = std::vector<double>(text.embeddings().rows, 0.0), .value = values[1], .baseline = values[0]};
  const double allowed = goal.missing * std::abs(values[1] - values[0]);
  std::vector<Piece> pieces{{.from = 0.0, .to = 1.0, .value_from = values[0], .value_to = values[1]}};
  integral.gradients = way.integrate(pieces);
  while (all_missed(pieces) > allowed) {
    const std::size_t left = (goal.most_gradients - std::min(goal.most_gradients, integral.gradients)) / (2 * piece_points);
    const std::size_t kept = sort_out(pieces, allowed / 2, left);
    if (kept == pieces.size()) break;
    halve(way, kept, pieces);
    integral.gradients += way.integrate(pieces);
  }
  if (goal.secants) integral.by_secants = share_out_rest(way, allowed, pieces);
  for (const Piece& piece : pieces) {
    for (std::size_t t = 0; t < piece.scores.size(); ++t) {
      integral.scores[t] += piece.scores[t];
      integral.doubts[t] += piece.doubts[t];
    }
  }
  return integral;
}

}  // namespace vitrine
