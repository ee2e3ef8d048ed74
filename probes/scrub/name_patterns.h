#pragma once

#include <string>
#include <vector>

// What several patterns of names are made of.

namespace vitrine {

/// Not one of the words that begin sentences, streets or labels more often than names.
inline const std::string stop_words =
    R"re((?!(?:The|This|That|These|Those|There|Then|They|Their|We|Our|You|Your|He|His|She|Her|It|Its|I|My|A|An|And|But|Or|If|In|On|At|To|)re"
    R"re(Of|For|From|With|By|As|So|No|Not|Is|Are|Was|Were|Am|Be|Do|Does|Did|Can|Could|May|Might|Will|Would|Shall|Should|Must|Have|Has|Had|)re"
    R"re(What|Who|Whom|Whose|When|Where|Which|Why|How|Please|Hi|Hello|Hey|Dear|Thanks|Thank|Yes|Here|Just|Maybe|Mission|Apt|Suite|Unit|Box|)re"
    R"re(Street|Road|Avenue|Name|Phone|Address|Email|Mr|Mrs|Ms|Miss|Dr|Prof|North|South|East|West|New|San|Santa|Saint|St|Los|Las|)re"
    R"re(Producer|Singer|Director|Actor|President|King|Queen|Billing|Meet|Call|Mobile|Desk|Fax|One|Two|Some|All|Any|Every|Each|Need|Want|)re"
    R"re(Let|After|Before|During|While|Since|Until|Because|Although|Unlike|Like|Don)\b))re";
/// "Ada", "O'Neill", "Anne-Marie"; not the 's of a possessive.
inline const std::string capitalized = R"re(\p{Lu}\p{Ll}(?:[\p{L}-]|['’](?!s\b))*)re";
/// "Ada", "Ada Lovelace", "Ada K. Lovelace", "Ludwig van Beethoven".
inline const std::string full_name =
    stop_words + capitalized + R"re((?: \p{Lu}\.?(?!\p{L}))?(?: (?:de|da|do|dos|von|van|der|den|di|del|la|le|el|bin|al|Mc|Mac|O'))?(?: )re" +
    capitalized + R"re(){0,2})re";

/// Literals, one or the other: longer ones first, so that "New Guinea" does not hide "New Guinea Bissau".
std::string any_of(std::vector<std::string> words);

}  // namespace vitrine
