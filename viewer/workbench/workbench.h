#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "viewer/draw/surface.h"
#include "viewer/panel.h"
#include "viewer/workbench/history.h"
#include "viewer/workbench/palette.h"
#include "viewer/desk.h"

namespace vitrine {

/// A panel's window, open or closed, with what it remembers while its view does not exist.
struct PanelWindow {
  const Panel* panel = nullptr;
  bool open = true;
  DocumentPointer document;  ///< what the view was made of
  std::unique_ptr<PanelView> view;
  Json state = Json::object();
  bool docked = false;
  int to_front = 0;  ///< in so many frames: a window is docked before it can be
  bool seen = false;  ///< drawn in the last frame: not behind another tab
};

/// The document that a panel shows; null where it needs none, or where none is there (`available` tells which).
DocumentPointer document_for(const Panel& panel, const Desk& desk);
bool available(const Panel& panel, const Desk& desk);

/// Everything in the window: panels in a docking space, menus, palette, help, messages, undo.
class Workbench : public Scene {
 public:
  /// @param only  one panel's name that fills everything (pictures), or empty
  Workbench(Desk& desk, const Look& look, const std::string& only = {});
  ~Workbench() override;

  bool frame() override;
  void dropped(const std::vector<std::string>& files) override;
  bool wants_to_close() const override { return close_; }

  /// Everything but the files themselves, as sessions keep it.
  Json session(const std::filesystem::path& beside) const;
  /// @throws Error where the JSON is no session; files that cannot be opened become messages
  void load_session(const Json& session, const std::filesystem::path& beside);

  Desk& desk() { return desk_; }
  PanelView* view(std::string_view panel);
  void show_panel(std::string_view panel);
  /// Brings the panel to the front that is there for what was opened last.
  void show_newest();

 private:
  void refresh_views();
  void make_view(PanelWindow& window);
  void draw_menus();
  void draw_panels();
  void draw_panel(PanelWindow& window);
  void draw_messages();
  void draw_status();
  void draw_prompt();
  void first_layout(unsigned dock);
  void run_keys(std::span<const Action> actions) const;
  std::vector<Action> global_actions();
  std::vector<Action> all_actions();
  void note_history();
  Json looked_at() const;
  void look_at(const Json& state);
  void go_to(std::size_t layer, std::size_t head);
  void step_head(int by);
  void step_layer(int by);
  void ask(std::string question, std::string answer, std::function<void(const std::string&)> then);
  void export_panel(const PanelWindow& window, const std::string& file);
  void set_look(const Look& look);

  Desk& desk_;
  Look look_;
  std::string only_;
  std::vector<PanelWindow> windows_;
  std::size_t seen_version_ = static_cast<std::size_t>(-1);
  History history_;
  Palette palette_;
  HelpWindow help_;
  std::string focused_;          // name of the panel that has the focus
  std::string layout_to_load_;
  bool laid_out_ = false, bare_layout_ = false, close_ = false, look_changed_ = false;

  struct Prompt {
    std::string question, answer;
    std::function<void(const std::string&)> then;
    bool open = false, fresh = false;
  };
  Prompt prompt_;
};

}  // namespace vitrine
