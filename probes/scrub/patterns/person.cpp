#include "probes/scrub/name_patterns.h"
#include "probes/scrub/scrubber.h"

namespace vitrine {
namespace {

const std::string titles = R"re((?:Mr|Mrs|Ms|Miss|Dr|Prof|Sir|Madam|Lady|Lord|Rev|Capt|Sgt|Lt|Col|Gen)\.?)re";

std::vector<RegularExpression> expressions() {
  const std::string patterns[] = {
      R"re(\b)re" + titles + R"re(\s+\K)re" + full_name,
      R"re((?<![\p{L}'’.-] )(?<!\p{L}))re" + stop_words + capitalized + R"re((?: \p{Lu}\.?(?!\p{L}))? )re" + stop_words +
          capitalized + R"re((?= ?[?.!,:;)]|['’]s\b| *$| (?:is|was|has|had|said|from|and|in|to|will|can|for|who|of|)re"
          R"re(at|on|speak|concert)\b)(?!,? (?:Inc|LLC|Ltd)))re",
      R"re(\b)re" + stop_words + capitalized + R"re((?:, )re" + stop_words + capitalized + R"re(){1,20},? and )re" + stop_words + capitalized,
      R"re(\bI'?m \K)re" + stop_words + capitalized + R"re((?: )re" + capitalized + R"re()?)re",
      R"re((?i:\b(?:my name is|name is|name's|i'?m|i am|this is|call(?:s|ed)? me|named|under|name:|Dear|Hi|Hello|)re"
          R"re(Hey|said|asked|told|by|with|add|regards,?|thanks,?|kid|son|daughter|wife|husband|friend|brother|sister|)re"
          R"re(producer|singer|author|writer|commenter|actor|actress|partner's name|assistant to|contact|beneficiary))\s+\K(?-i:)re" +
          full_name + R"re())re",
      R"re(\b)re" + capitalized + R"re( \p{Lu}\. )re" + capitalized + R"re(\b)re",
      R"re(^[ >?]*\K)re" + capitalized + R"re((?: \p{Lu}\.?)? )re" + capitalized + R"re($)re",
      R"re(\b)re" + full_name + R"re((?=,? (?:said|says|asked|told|wrote|shouted|lives|lived|listed|began|spent|replied|)re"
          R"re(is (?:a|my|the|very|from)|was born|has been|had given|points? out)))re",
      R"re(\b)re" + capitalized + R"re((?=,? (?:can|could|would|will) (?:i|you|we)\b))re",
  };
  return expressions_of("person", patterns);
}

void find(std::string_view text, const std::function<void(TextRange)>& found) {
  static const std::vector<RegularExpression> compiled = expressions();
  each_match_of(compiled, text, found);
}

}  // namespace

const Scrubber& scrubber_person() {
  static const Scrubber scrubber{"person", "PERSON", "names of people: two capitalised words, or one in context; no dictionary", find};
  return scrubber;
}

}  // namespace vitrine
