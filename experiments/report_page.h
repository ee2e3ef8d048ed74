#pragma once

#include <string>
#include <string_view>

#include "probes/figures/figure.h"

// Reports are one HTML file that opens anywhere: no scripts, no outside files, figures as SVG inside.

namespace vitrine {

/// A whole page. @param body  HTML
std::string page_html(std::string_view title, std::string_view body);

/// <h2>text</h2>, for level 2
std::string heading_html(int level, std::string_view text);

/// A table without its title; numbers are not broken over lines.
std::string table_html(const FigureTable& table);

/// <ul> of lines; nothing where there are none
std::string list_html(std::span<const std::string> lines);

/// Pieces of text on grounds from white to orange, as part of the page: it wraps, and can be selected. @param text  its colours are not looked at
std::string shaded_text_html(const FigureText& text);

/// A picture that may be as wide as the page.
std::string figure_html(const Figure& figure);

}  // namespace vitrine
