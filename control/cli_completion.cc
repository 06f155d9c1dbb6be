// SPDX-License-Identifier: BSD-2-Clause
#include "control/cli_completion.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string_view>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "control/cli_client.h"

namespace xebec {
namespace {

// A key was pressed, and somebody waits for letters to appear.
constexpr double kPatienceS = 0.5;

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

bool takes_value(const CLI::Option& option) {
  return option.get_items_expected_max() > 0;
}

/// Options of a verb and of what stands above it (CLI11's fallthrough).
const CLI::Option* find_option(const CLI::App* at, const std::string& name) {
  for (; at != nullptr; at = at->get_parent()) {
    for (const CLI::Option* option : at->get_options([](const CLI::Option*) { return true; })) {
      if (!option->get_positional() && option->check_name(name)) return option;
    }
  }
  return nullptr;
}

const CLI::App* find_verb(const CLI::App& at, const std::string& word) {
  for (const CLI::App* verb : at.get_subcommands([](const CLI::App*) { return true; })) {
    if (verb->check_name(word)) return verb;
  }
  return nullptr;
}

std::vector<const CLI::Option*> arguments_of(const CLI::App& app) {
  return app.get_options([](const CLI::Option* option) { return option->get_positional(); });
}

/// A command line as far as it was understood.
struct Read {
  const CLI::App* at = nullptr;
  const CLI::Option* pending = nullptr;       ///< an option whose value comes next
  std::vector<std::string> arguments;         ///< of `at`
  std::map<std::string, std::string> values;  ///< of options, by the option's first long name
};

Read read_line(const CLI::App& app, const std::vector<std::string>& words) {
  Read read{&app, nullptr, {}, {}};
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (read.pending != nullptr) {
      read.values[read.pending->get_name()] = word;
      read.pending = nullptr;
    } else if (word.size() > 1 && word[0] == '-') {
      const std::size_t equals = word.find('=');
      const CLI::Option* option = find_option(read.at, word.substr(0, equals));
      if (option == nullptr || !takes_value(*option)) continue;
      if (equals == std::string::npos) {
        read.pending = option;
      } else {
        read.values[option->get_name()] = word.substr(equals + 1);
      }
    } else if (const CLI::App* verb = read.arguments.empty() ? find_verb(*read.at, word) : nullptr;
               verb != nullptr) {
      read.at = verb;
    } else {
      read.arguments.push_back(word);
    }
  }
  return read;
}

std::string value_of(const Read& read, const std::string& option) {
  const auto found = read.values.find(option);
  return found == read.values.end() ? std::string() : found->second;
}

/// What may be put for KEY=VALUE, as its description says it: "mode=dsr-l2|ipip weight=0..1000".
std::vector<std::string> settings(const std::string& what) {
  std::vector<std::string> words;
  for (std::string word : split(what, ' ')) {
    while (!word.empty() && word.back() == ',') word.pop_back();
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0) continue;
    const std::string key = word.substr(0, equals + 1);
    const std::vector<std::string> values = split(std::string_view(word).substr(equals + 1), '|');
    words.push_back(key);
    if (values.size() < 2) continue;
    for (const std::string& value : values) words.push_back(key + value);
  }
  return words;
}

/// The words of a validator: "TEXT:{table,json,tsv}".
std::vector<std::string> choices(const std::string& type) {
  const std::size_t open = type.find('{'), close = type.find('}');
  if (open == std::string::npos || close == std::string::npos || close < open) return {};
  return split(std::string_view(type).substr(open + 1, close - open - 1), ',');
}

struct Values {
  bool files = false;
  std::vector<std::string> words;
};

/// What an option or argument may be, by the name of its value.
Values values_for(const CLI::Option& option, const Read& read, const NameSource& names) {
  const std::string type = option.get_type_name();
  if (std::vector<std::string> words = choices(type); !words.empty()) return {false, std::move(words)};
  const bool positional = option.get_positional();
  const std::string name = positional ? option.get_single_name() : option.get_name();
  const std::string value = positional ? name : type;
  const std::string socket = value_of(read, "--socket");
  const std::string object = read.at->get_parent() != nullptr ? read.at->get_parent()->get_name() : "";
  const bool existing = object == "service" && read.at->get_name() != "add";
  if (value == "SVC" || name == "--service" || (positional && name == "NAME" && existing))
    return {false, names.services(socket)};
  if (name == "ADDR" || name == "--backend") {
    const std::string service = read.arguments.empty() ? value_of(read, "--service") : read.arguments.front();
    const bool fresh = read.at->get_name() == "add";
    return {false, fresh ? std::vector<std::string>() : names.backends(socket, service)};
  }
  if (value == "IF") return {false, names.interfaces()};
  if (name == "KEY=VALUE") return {false, settings(option.get_description())};
  constexpr std::string_view kPaths[] = {"FILE", "PATH", "DIR", "TARGET"};
  constexpr std::string_view kPathOptions[] = {"--socket", "--config", "--pcap", "--write"};
  return {std::find(std::begin(kPaths), std::end(kPaths), value) != std::end(kPaths) ||
              std::find(std::begin(kPathOptions), std::end(kPathOptions), name) != std::end(kPathOptions),
          {}};
}

const CLI::Option* next_argument(const Read& read) {
  const auto arguments = arguments_of(*read.at);
  if (arguments.empty()) return nullptr;
  if (read.arguments.size() < arguments.size()) return arguments[read.arguments.size()];
  return arguments.back()->get_items_expected_max() > 1 ? arguments.back() : nullptr;
}

void add_verbs(const CLI::App& at, std::vector<Candidate>& out) {
  for (const CLI::App* verb : at.get_subcommands([](const CLI::App*) { return true; })) {
    if (!verb->get_group().empty()) out.push_back({verb->get_name(), verb->get_description()});
  }
}

void add_options(const CLI::App* at, std::vector<Candidate>& out) {
  for (; at != nullptr; at = at->get_parent()) {
    for (const CLI::Option* option : at->get_options([](const CLI::Option*) { return true; })) {
      if (option->get_positional() || option->get_group().empty()) continue;
      for (const std::string& name : option->get_lnames()) {
        const bool there =
            std::any_of(out.begin(), out.end(), [&](const Candidate& c) { return c.word == "--" + name; });
        if (!there && name != ">") out.push_back({"--" + name, option->get_description()});
      }
    }
  }
}

/// What a shell puts on its line unquoted. Names come from a daemon that need not be ours.
bool is_plain(const std::string& word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("-._:/@%+=,[]").find(c) != std::string_view::npos;
  });
}

}  // namespace

Completion complete(const CLI::App& app, const std::vector<std::string>& words, const NameSource& names) {
  const Read read = read_line(app, words);
  const std::string current = words.empty() ? "" : words.back();
  Completion out;
  const auto offer = [&out](const Values& values, const std::string& before) {
    out.files = values.files;
    for (const std::string& word : values.words) out.candidates.push_back({before + word, ""});
  };
  const std::size_t equals = current.find('=');
  if (read.pending != nullptr) {
    offer(values_for(*read.pending, read, names), "");
  } else if (current.starts_with("-") && equals != std::string::npos) {
    const CLI::Option* option = find_option(read.at, current.substr(0, equals));
    if (option != nullptr) offer(values_for(*option, read, names), current.substr(0, equals + 1));
  } else if (current.starts_with("-")) {
    add_options(read.at, out.candidates);
  } else {
    if (read.arguments.empty()) add_verbs(*read.at, out.candidates);
    if (const CLI::Option* argument = next_argument(read)) offer(values_for(*argument, read, names), "");
  }
  std::erase_if(out.candidates,
                [&](const Candidate& c) { return !c.word.starts_with(current) || !is_plain(c.word); });
  return out;
}

NameSource daemon_names(const std::string& default_socket) {
  const auto ask = [default_socket](const std::string& socket, const std::string& path, const char* list,
                                    const char* field) {
    std::vector<std::string> found;
    const auto answer = Client(socket.empty() ? default_socket : socket, kPatienceS).request("GET", path);
    if (!answer || !answer->json.contains(list) || !answer->json[list].is_array()) return found;
    for (const CliJson& row : answer->json[list]) {
      if (row.is_object() && row.contains(field) && row[field].is_string())
        found.push_back(row[field].get<std::string>());
    }
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
  };
  NameSource names;
  names.services = [ask](const std::string& socket) {
    return ask(socket, "/v1/services", "services", "name");
  };
  names.backends = [ask](const std::string& socket, const std::string& service) {
    const std::string query = service.empty() ? "" : "?service=" + percent_encode(service);
    return ask(socket, "/v1/backends" + query, "backends", "address");
  };
  names.interfaces = [] {
    std::vector<std::string> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/sys/class/net", error))
      found.push_back(entry.path().filename().string());
    std::sort(found.begin(), found.end());
    return found;
  };
  return names;
}

void print_completion(const CLI::App& app, int argc, const char* const* argv,
                      const std::string& default_socket) {
  std::vector<std::string> words;
  for (int i = 3; i < argc; ++i) words.emplace_back(argv[i]);  // behind "xebec __complete --"
  const Completion found = complete(app, words, daemon_names(default_socket));
  if (found.files) fmt::print(":files\n");
  for (const Candidate& c : found.candidates)
    fmt::print("{}{}{}\n", c.word, c.what.empty() ? "" : "\t", c.what);
}

}  // namespace xebec
