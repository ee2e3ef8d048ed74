#pragma once

namespace vitrine {

/// The browser's own fonts as the one font of ImGui's current context: whatever a page can show, glyph by glyph as they are met. Nothing of
/// them lies in the page.
void choose_browser_font();

}  // namespace vitrine
