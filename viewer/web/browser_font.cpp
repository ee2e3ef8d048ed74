#include "viewer/web/browser_font.h"

#include <emscripten.h>
#include <imgui.h>
#include <imgui_internal.h>

#include <cmath>
#include <vector>

// A pen draws one glyph into a canvas that is never seen. What no font has looks as a code point does that can have no glyph.
EM_JS(void, start_pen, (), {
  const most = 256;
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = most;
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  const draw = (code, pixels) => {
    const text = String.fromCodePoint(code);
    pen.font = pixels + 'px "DejaVu Sans", Verdana, "Segoe UI", "Helvetica Neue", sans-serif';
    const size = pen.measureText(text);
    const left = Math.floor(-size.actualBoundingBoxLeft) - 1, top = Math.floor(-size.actualBoundingBoxAscent) - 1;
    const width = Math.min(most, Math.ceil(size.actualBoundingBoxRight) + 1 - left), height = Math.min(most, Math.ceil(size.actualBoundingBoxDescent) + 1 - top);
    if (width <= 2 || height <= 2) return {left: 0, top: 0, width: 0, height: 0, advance: size.width, colors: new Uint8Array(0)};
    pen.clearRect(0, 0, most, most);
    pen.fillStyle = '#ffffff';
    pen.fillText(text, -left, -top);
    return {left: left, top: top, width: width, height: height, advance: size.width, colors: pen.getImageData(0, 0, width, height).data};
  };
  const missing = draw(0x10ffff, 32), known = new Map();
  const differs = (glyph) => glyph.width === 0 || glyph.width !== missing.width || glyph.colors.some((each, i) => each !== missing.colors[i]);
  Module.pen = {
    draw: draw,
    has: (code) => {
      if (!known.has(code)) known.set(code, differs(draw(code, 32)));
      return known.get(code);
    },
  };
});
EM_JS(int, pen_has, (unsigned code), { return Module.pen.has(code) ? 1 : 0; });
// Left, top, width and height of the glyph's box from the base line, and its advance.
EM_JS(void, pen_draw, (unsigned code, float pixels, float* box), {
  const glyph = Module.glyph = Module.pen.draw(code, pixels);
  HEAPF32.set([glyph.left, glyph.top, glyph.width, glyph.height, glyph.advance], box >> 2);
});
// RGBA of the glyph that was drawn last.
EM_JS(void, pen_copy, (unsigned char* colors), { HEAPU8.set(Module.glyph.colors, colors); });

namespace vitrine {
namespace {

constexpr float ascent = 0.93f, descent = 0.24f, em = 0.86f;  // of ImGui's size, which is that of a line

constexpr ImWchar surely_there = 0x250;  // every browser has Latin letters

bool contains(ImFontAtlas*, ImFontConfig*, ImWchar code) {
  if (code < 0x20 || (code >= 0xd800 && code <= 0xdfff)) return false;
  return code < surely_there || pen_has(code) != 0;
}

bool start(ImFontAtlas*, ImFontConfig*, ImFontBaked* baked, void*) {
  baked->Ascent = std::ceil(baked->Size * ascent * em);
  baked->Descent = std::floor(-baked->Size * descent * em);
  return true;
}

bool load(ImFontAtlas* atlas, ImFontConfig* source, ImFontBaked* baked, void*, ImWchar code, ImFontGlyph* glyph, float* advance) {
  if (!contains(atlas, source, code)) return false;
  const float density = source->RasterizerDensity * baked->RasterizerDensity;
  float box[5] = {};
  pen_draw(code, baked->Size * em * density, box);
  if (advance != nullptr) {  // the width alone is asked for
    *advance = box[4] / density;
    return true;
  }
  glyph->Codepoint = code;
  glyph->AdvanceX = box[4] / density;
  const int width = static_cast<int>(box[2]), height = static_cast<int>(box[3]);
  if (width == 0 || height == 0) return true;
  const ImFontAtlasRectId place = ImFontAtlasPackAddRect(atlas, width, height);
  if (place == ImFontAtlasRectId_Invalid) return false;
  std::vector<unsigned char> colors(4 * static_cast<std::size_t>(width) * static_cast<std::size_t>(height));  // [height, width, rgba]
  pen_copy(colors.data());
  for (std::size_t i = 0; i < colors.size(); i += 4) glyph->Colored |= colors[i + 3] != 0 && colors[i] + colors[i + 1] + colors[i + 2] < 3 * 240;
  const float base = std::round(baked->Ascent);
  glyph->X0 = box[0] / density;
  glyph->Y0 = box[1] / density + base;
  glyph->X1 = (box[0] + box[2]) / density;
  glyph->Y1 = (box[1] + box[3]) / density + base;
  glyph->Visible = true;
  glyph->PackId = place;
  ImFontAtlasBakedSetFontGlyphBitmap(atlas, baked, source, glyph, ImFontAtlasPackGetRect(atlas, place), colors.data(), ImTextureFormat_RGBA32, 4 * width);
  return true;
}

}  // namespace

void choose_browser_font() {
  start_pen();
  static ImFontLoader loader;
  loader.Name = "browser";
  loader.FontSrcContainsGlyph = contains;
  loader.FontBakedInit = start;
  loader.FontBakedLoadGlyph = load;
  ImFontConfig config;
  config.FontLoader = &loader;
  config.SizePixels = 15.0f;
  ImGui::GetIO().Fonts->AddFont(&config);
}

}  // namespace vitrine
