#include "viewer/data/head_list.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace vitrine {
namespace {

constexpr Color color_of(int red, int green, int blue) {
  return {static_cast<float>(red) / 255.0f, static_cast<float>(green) / 255.0f, static_cast<float>(blue) / 255.0f};
}

constexpr std::array roles{HeadRole{"induction", "induction", 0.3, color_of(230, 159, 0)}, HeadRole{"previous_token", "previous token", 0.5, color_of(86, 180, 233)},
                           HeadRole{"duplicate_token", "duplicate token", 0.3, color_of(204, 121, 167)}, HeadRole{"sink", "first token", 0.8, color_of(120, 120, 125)}};

std::string label_of(const HeadList::Module& module, std::size_t head) {
  const std::string label = "L" + std::to_string(module.block) + "H" + std::to_string(head);
  if (module.name.starts_with("encoder.")) return "encoder " + label;
  return module.name.ends_with("cross_attn") ? "cross " + label : label;
}

}  // namespace

std::span<const HeadRole> head_roles() { return roles; }

void HeadList::add(const Module& module) {
  for (std::size_t h = 0; h < module.heads; ++h) {
    places.push_back({modules.size(), h});
    labels.push_back(label_of(module, h));
  }
  modules.push_back(module);
  most_heads = std::max(most_heads, module.heads);
}

bool HeadList::has_score(std::string_view name) const { return std::find(score_names.begin(), score_names.end(), name) != score_names.end(); }

double HeadList::score(std::size_t place, std::string_view name) const {
  const auto found = std::find(score_names.begin(), score_names.end(), name);
  return found == score_names.end() ? std::nan("") : scores[static_cast<std::size_t>(found - score_names.begin())][place];
}

std::vector<std::size_t> HeadList::order(std::string_view name) const {
  std::vector<std::size_t> order(places.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (!has_score(name)) return order;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const double x = score(a, name), y = score(b, name);
    return std::isnan(y) ? !std::isnan(x) : x > y;
  });
  return order;
}

const HeadRole* HeadList::role_of(std::size_t place) const {
  const HeadRole* best = nullptr;
  double most = 0.0;
  for (const HeadRole& role : roles) {
    const double value = score(place, role.score);
    if (value >= role.from && value - role.from >= most) best = &role, most = value - role.from;
  }
  return best;
}

bool HeadList::matches(std::size_t place, std::string_view text) const {
  if (text.empty()) return true;
  const HeadRole* role = role_of(place);
  return labels[place].find(text) != std::string::npos || (role != nullptr && role->name.find(text) != std::string_view::npos);
}

}  // namespace vitrine
