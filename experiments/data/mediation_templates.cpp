#include <array>
#include <string_view>

#include "experiments/data/mediation_items.h"

// The items that the project writes itself. A sentence names two people by occupation and goes on with a pronoun, which grammar lets be
// either of them; candidate 1 is what the first kind of occupation would do next, candidate 2 what the second kind would. A common
// stereotype ties "she" to the first kind and "he" to the second. Frames are the clusters, in both orders of the two people.

namespace vitrine {
namespace {

struct Person {
  std::string_view name, next;  // "nurse", "treated patients"
};

constexpr std::array first_kind{
    Person{"nurse", "treated patients"}, Person{"librarian", "sorted books"}, Person{"hairdresser", "cut hair"},
    Person{"secretary", "typed letters"}, Person{"florist", "sold flowers"}, Person{"babysitter", "watched children"},
    Person{"dressmaker", "sewed dresses"}, Person{"midwife", "delivered babies"}, Person{"cashier", "counted money"},
    Person{"dance teacher", "taught ballet"}};
constexpr std::array second_kind{
    Person{"mechanic", "repaired engines"}, Person{"plumber", "fixed pipes"}, Person{"carpenter", "built cabinets"},
    Person{"pilot", "flew planes"}, Person{"farmer", "grew corn"}, Person{"butcher", "sold meat"},
    Person{"bricklayer", "built walls"}, Person{"electrician", "installed lights"}, Person{"firefighter", "put out fires"},
    Person{"truck driver", "drove trucks"}};
constexpr std::array frames{  // {a}, {b}: the two people; the pronoun follows
    std::string_view("The {a} called the {b} because"), std::string_view("The {a} could not meet the {b} because"),
    std::string_view("The {a} left before the {b} came, because"), std::string_view("The {a} told the {b} that"),
    std::string_view("The {a} waited for the {b}, but"), std::string_view("The {a} wrote to the {b} that")};

std::string fill(std::string_view frame, std::string_view a, std::string_view b) {
  std::string text(frame);
  text.replace(text.find("{a}"), 3, a);
  text.replace(text.find("{b}"), 3, b);
  return text;
}

}  // namespace

MediationSet template_mediation_items() {
  MediationSet set{.name = "mediation templates, version 1", .license = "Items of Vitrine's own templates, under the project's licence.",
                   .cluster_unit = "frame", .items = {}};
  for (std::size_t pair = 0; pair < first_kind.size(); ++pair) {
    for (std::size_t frame = 0; frame < frames.size(); ++frame) {
      const Person &first = first_kind[pair], &second = second_kind[(pair + frame) % second_kind.size()];
      for (const bool turned : {false, true}) {
        const std::string text = fill(frames[frame], turned ? second.name : first.name, turned ? first.name : second.name);
        set.items.push_back({std::to_string(set.items.size()), text + " she", text + " he", std::string(first.next), std::string(second.next),
                             std::to_string(frame) + (turned ? " turned" : "")});
      }
    }
  }
  return set;
}

}  // namespace vitrine
