#pragma once

#include <string>

#include "viewer/draw/surface.h"
#include "viewer/panel.h"

namespace vitrine {

class Workbench;

/// Whether the ending is one of a figure's: .svg, .csv, .npy.
bool is_figure_file(const std::string& file);
/// Writes what a panel shows as the file's ending says. @throws Error where that is none of a figure's, where the figure is empty, or
/// where the file cannot be written
void export_figure(const Figure& figure, const std::string& file);

/// What --export asks for.
struct ExportOrder {
  std::string panel, file;
  PixelSize size;
  Look look;
  std::string session;  ///< or empty
};
/// The same from the command line, without a display: a .png is the panel as it is drawn. @throws Error as export_figure
void export_panel(Desk& desk, const ExportOrder& order);

/// Opens a session that was saved. @throws Error where it is none; files of it that cannot be opened are messages
void open_session(Workbench& workbench, const std::string& file);
/// A recording, a study, or a session (.vitrine) is opened; what cannot be is a message.
void open_anything(Workbench& workbench, const std::string& file);
void save_session(const Workbench& workbench, const std::string& file);

}  // namespace vitrine
