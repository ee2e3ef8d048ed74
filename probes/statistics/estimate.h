#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace vitrine {

enum class Verdict { differs, equivalent, trivial, inconclusive, not_measurable, not_comparable };
enum class Estimand { items_of_checkpoint, seeds_of_recipe, both };
enum class Direction { higher, lower, target };

/// A number with everything that is needed to believe it (shared vocabulary of studies, tables, plots and reports).
/// The interval inverts the test that stands beside it.
struct Estimate {
  std::string name;
  double value = 0.0;
  double low = 0.0, high = 0.0;  ///< interval at `level`; infinite where so few clusters exclude nothing
  double level = 0.95;
  double inner_low = 0.0, inner_high = 0.0;  ///< interval at 1 - 2a, a = 1 - level: two one-sided tests for equivalence
  Estimand estimand = Estimand::items_of_checkpoint;
  std::string resampled_unit;    ///< "pair", "template", "document"
  std::size_t n = 0;
  std::size_t clusters = 0;      ///< 0 = not clustered
  std::string method;            ///< "Clopper-Pearson", "CR2 t", "sign-flip permutation", ...
  std::string unit;              ///< "nats", "share", "bit", "tok/s"
  Direction direction = Direction::target;
  std::optional<double> null_value, p;
  std::string family, tier;      ///< of the p; a p is never shown without
  std::optional<double> control; ///< where the quantity cannot be negative
  std::optional<double> margin;
  Verdict verdict = Verdict::inconclusive;
  std::string reason;
};

std::string_view verdict_name(Verdict verdict);
Json to_json(const Estimate& estimate);
/// @throws Error where the JSON is no estimate
Estimate estimate_from_json(const Json& json, std::string_view where);

/// An estimate that could not be made, with the reason; its numbers are NaN.
Estimate not_measurable(std::string name, std::string unit, std::string reason);

/// Exact binomial share k of n: Clopper-Pearson interval (Clopper & Pearson 1934) beside the two-sided exact test that it
/// inverts (twice the smaller tail), null 0.5.
Estimate binomial_share(std::string name, std::size_t k, std::size_t n, double level = 0.95);

/// Mean of item values; items of one cluster may depend on each other, one cluster per item where `cluster` is empty.
/// t interval with the CR2 variance and Satterthwaite degrees of freedom (Bell & McCaffrey 2002; Pustejovsky & Tipton
/// 2018); with fewer than 10 clusters the interval inverts the sign-flip permutation test over clusters, all flips
/// enumerated. Test of mean 0 beside it.
Estimate clustered_mean(std::string name, std::span<const double> values, std::span<const std::size_t> cluster,
                        double level = 0.95);

/// clustered_mean of a quantity for which 0 means nothing: an interval alone, without null, p or verdict.
/// @param unit, resampled_unit  as the estimate names them
struct DescribedAs {
  std::string name, unit, resampled_unit;
};
Estimate described_mean(DescribedAs as, std::span<const double> values, std::span<const std::size_t> cluster);

/// Sets null value and verdict of a signed quantity: differs (the interval excludes the null), equivalent (the 1 - 2a
/// interval lies inside null +- margin), trivial (both), else inconclusive with the smallest detectable change as the
/// reason. Without a margin nothing can be equivalent.
void judge(Estimate& estimate, double null_value, std::optional<double> margin);

}  // namespace vitrine
