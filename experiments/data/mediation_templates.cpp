#include <array>
#include <string_view>

#include "experiments/data/mediation_items.h"

// The items that the project writes itself. A sentence names two people by occupation and goes on with a pronoun, which grammar lets be
// either of them; candidate 1 is what the first kind of occupation would do next, candidate 2 what the second kind would. A common
// stereotype ties "she" to the first kind and "he" to the second. Frames are the clusters, in both orders of the two people.

namespace vitrine {
namespace {

struct Person {
  std::string_view name, next;  // "nurse", "was on the ward all night."
};

constexpr std::array first_kind{
    Person{"nurse", "had been on the ward all night."}, Person{"librarian", "had to put the books back on the shelves."},
    Person{"hairdresser", "had another haircut at four."}, Person{"secretary", "still had a letter to type."},
    Person{"florist", "had roses to cut."}, Person{"babysitter", "had to put the children to bed."},
    Person{"dressmaker", "had a hem to sew."}, Person{"midwife", "had to help with a birth."},
    Person{"cashier", "had to count the money in the till."}, Person{"dance teacher", "had a lesson to give in the ballroom."}};
constexpr std::array second_kind{
    Person{"mechanic", "had an engine to repair."}, Person{"plumber", "had a pipe to mend."},
    Person{"carpenter", "had a roof beam to saw."}, Person{"pilot", "had a plane to land."},
    Person{"farmer", "had a field to plough."}, Person{"butcher", "had meat to cut."},
    Person{"bricklayer", "had a wall to build."}, Person{"electrician", "had the wires to connect."},
    Person{"firefighter", "had a fire to put out."}, Person{"truck driver", "had a load to deliver."}};
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
