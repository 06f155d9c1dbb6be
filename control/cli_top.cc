// SPDX-License-Identifier: BSD-2-Clause
// The screen is curses', what stands on it top_frame()'s.
#include "control/cli_top.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "control/cli_client.h"
#include "control/cli_rates.h"
#include "control/cli_render.h"
#include "control/cli_stop.h"
#include "control/top_frame.h"

#define NCURSES_NOMACROS 1  // they would rewrite other people's erase() and move()
#include <curses.h>

namespace xebec {
namespace {

using Clock = std::chrono::steady_clock;

// A key or a signal is obeyed within that, which feels like at once.
constexpr int kKeyMs = 50;
constexpr short kGood = 1, kBad = 2;  // colour pairs
constexpr std::size_t kPlainWidth = 100;
constexpr int kEscape = 27;

/// The daemon's answers of now, and what they brought since the last ones.
class Samples {
 public:
  explicit Samples(const CliOptions& options) : client_(options.socket, std::min(options.timeout_s, 2.0)) {}

  tl::expected<void, CliError> take() {
    CliJson now = CliJson::object();
    for (const auto& [key, path] :
         {std::pair{"status", "/v1/status"}, std::pair{"services", "/v1/services"},
          std::pair{"backends", "/v1/backends"}, std::pair{"workers", "/v1/workers"}}) {
      const auto answer = client_.request("GET", path);
      if (!answer) return tl::unexpected(answer.error());
      now[key] = std::strcmp(key, "status") == 0 ? answer->json : value_at(answer->json, key);
    }
    const auto at = Clock::now();
    const std::chrono::duration<double> passed = at - at_;
    // Nothing is known of the time before the first look.
    rates_ = rates_between(now_.is_null() ? now : now_, now, std::max(passed.count(), 0.001));
    now_ = std::move(now);
    at_ = at;
    return {};
  }

  const CliJson& now() const { return now_; }
  const CliJson& rates() const { return rates_; }

 private:
  Client client_;
  CliJson now_, rates_ = CliJson::object();
  Clock::time_point at_{};
};

/// A terminal that cannot move its cursor, or does not say what it is.
bool is_dumb() {
  const char* term = std::getenv("TERM");
  return term == nullptr || *term == '\0' || std::strcmp(term, "dumb") == 0;
}

std::chrono::milliseconds interval_of(const TopArguments& arguments) {
  return std::chrono::milliseconds(static_cast<int64_t>(arguments.interval_s * 1000));
}

TopState state_of(const TopArguments& arguments) {
  TopState state;
  if (arguments.view == "backends") state.view = TopView::backends;
  if (arguments.view == "workers") state.view = TopView::workers;
  if (arguments.view == "drops") state.view = TopView::drops;
  return state;
}

/// Frames as text, for what is no screen: one, or one after the other.
VerbResult plain_frames(Samples& samples, const TopArguments& arguments, bool once) {
  const StopSignals stop;
  TopState state = state_of(arguments);
  stop.sleep(interval_of(arguments));  // the first look was run()'s
  while (!stop.seen()) {
    if (const auto taken = samples.take(); !taken) return tl::unexpected(taken.error());
    for (const TopLine& line : top_frame(samples.now(), samples.rates(), state, kPlainWidth, 0))
      fmt::print("{}\n", line.text);
    if (once) return 0;
    fmt::print("\n");
    std::fflush(stdout);
    stop.sleep(interval_of(arguments));
  }
  return 0;
}

/// The terminal while it is ours.
class Screen {
 public:
  static tl::expected<std::unique_ptr<Screen>, CliError> open() {
    SCREEN* const handle = newterm(nullptr, stdout, stdin);
    if (handle != nullptr) return std::unique_ptr<Screen>(new Screen(handle));
    const char* term = std::getenv("TERM");
    return tl::unexpected(
        CliError{"failed", fmt::format("top: the terminal {} is not known", term == nullptr ? "" : term),
                 "TERM=vt100 xebec top, or xebec top --once"});
  }
  ~Screen() {
    endwin();
    delscreen(handle_);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void draw(const std::vector<TopLine>& lines) const {
    erase();
    const int count = std::min(static_cast<int>(lines.size()), getmaxy(stdscr));
    for (int y = 0; y < count; ++y) {
      const TopLine& line = lines[static_cast<std::size_t>(y)];
      const attr_t look = look_of(line.look);
      attron(look);
      mvaddstr(y, 0, line.text.c_str());
      attroff(look);
    }
    refresh();
  }

 private:
  explicit Screen(SCREEN* handle) : handle_(handle) {
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    timeout(kKeyMs);
    set_escdelay(25);  // Esc by itself is a key here
    curs_set(0);
    const char* no_color = std::getenv("NO_COLOR");  // no-color.org
    colour_ = has_colors() == TRUE && (no_color == nullptr || *no_color == '\0');
    if (!colour_) return;
    start_color();
    use_default_colors();
    init_pair(kGood, COLOR_GREEN, -1);
    init_pair(kBad, COLOR_RED, -1);
  }

  attr_t look_of(TopLine::Look look) const {
    switch (look) {
      case TopLine::Look::plain:
        return A_NORMAL;
      case TopLine::Look::heading:
        return A_REVERSE;
      case TopLine::Look::good:
        return colour_ ? static_cast<attr_t>(COLOR_PAIR(kGood)) : A_NORMAL;
      case TopLine::Look::bad:
        return colour_ ? static_cast<attr_t>(COLOR_PAIR(kBad)) : A_BOLD;
    }
    return A_NORMAL;
  }

  SCREEN* handle_;
  bool colour_ = false;
};

void type(TopState& state, int key) {
  constexpr std::size_t kLongest = 60;
  if (key == kEscape) state.filter.clear();
  if (key == kEscape || key == '\n' || key == '\r' || key == KEY_ENTER) state.typing = false;
  if ((key == KEY_BACKSPACE || key == 127 || key == 8) && !state.filter.empty()) state.filter.pop_back();
  if (key >= ' ' && key < 127 && state.filter.size() < kLongest) state.filter += static_cast<char>(key);
}

/// False: quit.
bool obey(TopState& state, int key, std::size_t page) {
  if (state.typing) {
    type(state, key);
    return true;
  }
  const auto view = static_cast<std::size_t>(state.view);
  const std::size_t columns = top_columns(state.view);
  const std::size_t offset = state.offset;
  switch (key) {
    case 'q':
    case 'Q':
      return false;
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
      if (static_cast<std::size_t>(key - '1') >= top_views(state)) break;
      state.view = static_cast<TopView>(key - '1');
      state.offset = 0;
      break;
    case '\t':
      state.view = static_cast<TopView>((view + 1) % top_views(state));
      state.offset = 0;
      break;
    case '<':
      state.sort[view] = (state.sort[view] + columns - 1) % columns;
      break;
    case '>':
      state.sort[view] = (state.sort[view] + 1) % columns;
      break;
    case 'r':
      state.ascending[view] = !state.ascending[view];
      break;
    case '/':
      state.typing = true;
      break;
    case kEscape:
      state.filter.clear();
      state.help = false;
      break;
    case 'p':
    case ' ':
      state.paused = !state.paused;
      break;
    case 'h':
    case '?':
      state.help = !state.help;
      break;
    case KEY_UP:
      state.offset = offset - std::min<std::size_t>(offset, 1);
      break;
    case KEY_DOWN:
      state.offset = offset + 1;
      break;
    case KEY_PPAGE:
      state.offset = offset - std::min(offset, page);
      break;
    case KEY_NPAGE:
      state.offset = offset + page;
      break;
    case KEY_HOME:
      state.offset = 0;
      break;
    case KEY_END:
      state.offset = SIZE_MAX / 2;  // clipped to what there is
      break;
    default:
      break;
  }
  return true;
}

VerbResult on_screen(Samples& samples, const TopArguments& arguments, const TopBeside* beside = nullptr) {
  const StopSignals stop;
  auto screen = Screen::open();
  if (!screen) return tl::unexpected(screen.error());
  TopState state = state_of(arguments);
  auto next = Clock::now();
  while (!stop.seen() && (beside == nullptr || beside->lives())) {
    // Read where it is looked at; that there is such a view is known from the first time on.
    if (beside != nullptr && (!state.log || (state.view == TopView::log && !state.paused)))
      state.log = beside->log();
    if (!state.paused && Clock::now() >= next) {
      const auto taken = samples.take();
      state.trouble = taken ? "" : taken.error().message + "; trying again";
      next = Clock::now() + interval_of(arguments);
    }
    const auto width = static_cast<std::size_t>(std::max(getmaxx(stdscr), 1));
    const auto height = static_cast<std::size_t>(std::max(getmaxy(stdscr), 1));
    (*screen)->draw(top_frame(samples.now(), samples.rates(), state, width, height));
    // ERR: no key, or the terminal is gone and SIGHUP on its way.
    if (const int key = getch(); key != ERR && !obey(state, key, height / 2)) break;
  }
  return 0;
}

}  // namespace

CLI::App* add_top_verb(CLI::App& app, TopArguments& a) {
  CLI::App* verb =
      app.add_subcommand("top", "Services, backends, workers and drops with their rates; q quits");
  verb->add_flag("--once", a.once, "one frame as plain text");
  verb->add_option("-d,--delay", a.interval_s, "seconds between two frames")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 3600.0));
  verb->add_option("VIEW", a.view, "services, backends, workers or drops")
      ->check(CLI::IsMember({"services", "backends", "workers", "drops"}));
  return verb;
}

bool can_draw_on_terminal() {
  return isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0 && !is_dumb();
}

VerbResult top_beside(const CliOptions& options, const TopBeside& beside) {
  Samples samples(options);
  if (const auto first = samples.take(); !first) return tl::unexpected(first.error());
  return on_screen(samples, {}, &beside);
}

VerbResult top(const CliOptions& options, const TopArguments& arguments) {
  if (options.output != Output::table)
    return tl::unexpected(CliError{"usage", "top: is for eyes", "xebec -j stats --rate is for programs"});
  Samples samples(options);
  // Before the screen is taken: a daemon that is not there is an error like any other's.
  if (const auto first = samples.take(); !first) return tl::unexpected(first.error());
  if (!arguments.once && isatty(STDOUT_FILENO) == 0)
    return tl::unexpected(CliError{"usage", "top: standard output is no terminal", "xebec top --once"});
  if (arguments.once || is_dumb()) return plain_frames(samples, arguments, arguments.once);
  return on_screen(samples, arguments);
}

}  // namespace xebec
