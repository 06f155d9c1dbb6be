// SPDX-License-Identifier: BSD-2-Clause
#include "control/metrics.h"

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "control/metric_list.h"

namespace xebec {
namespace {

using Json = nlohmann::ordered_json;

/// What a label's value or a help text may not have as it is (exposition format 0.0.4).
std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '"') {
      out += "\\\"";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

std::string label(std::string_view name, std::string_view value) {
  return fmt::format("{}=\"{}\"", name, escaped(value));
}

/// Text of a value as a label has it; the bytes that are no UTF-8 replaced.
std::string plain(const Json& value) {
  if (value.is_null()) return "";
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (!value.is_string()) return text;
  return Json::parse(text).get<std::string>();
}

struct Row {
  const Json* object;
  std::string labels;  ///< that every sample of it has; empty or without braces
};
using Rows = std::vector<Row>;

Rows rows_of(const Json& list, std::initializer_list<std::pair<const char*, const char*>> labels) {
  Rows rows;
  for (const Json& object : list) {
    std::string text;
    for (const auto& [name, key] : labels) {
      if (!text.empty()) text += ',';
      text += label(name, plain(object.at(key)));
    }
    rows.push_back({&object, std::move(text)});
  }
  return rows;
}

/// By MetricScope.
std::array<Rows, 7> all_rows(const MetricsSource& source) {
  std::array<Rows, 7> rows;
  const auto of = [&rows](MetricScope scope) -> Rows& { return rows[static_cast<std::size_t>(scope)]; };
  of(MetricScope::daemon) = {{&source.status, ""}};
  of(MetricScope::worker) = rows_of(source.workers, {{"worker", "worker"}});
  of(MetricScope::interface) = rows_of(source.interfaces, {{"interface", "name"}});
  for (const Row& interface : of(MetricScope::interface)) {
    for (Row& queue : rows_of(interface.object->at("queues"), {{"queue", "queue"}})) {
      queue.labels = interface.labels + "," + queue.labels;
      of(MetricScope::queue).push_back(std::move(queue));
    }
  }
  of(MetricScope::service) = rows_of(source.services, {{"service", "name"}});
  of(MetricScope::backend) = rows_of(source.backends, {{"service", "service"}, {"backend", "address"}});
  of(MetricScope::check) = rows_of(source.checks, {{"service", "service"}, {"backend", "address"}});
  return rows;
}

class MetricsText {
 public:
  void begin(const MetricRule& rule) {
    constexpr std::string_view kTypes[] = {"counter", "gauge", "histogram"};
    text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", rule.name, escaped_help(rule.help), rule.name,
                         kTypes[static_cast<std::size_t>(rule.type)]);
  }
  void sample(std::string_view name, std::string_view labels, std::string_view more, std::string_view value) {
    text_ += name;
    if (!labels.empty() || !more.empty()) {
      text_ += '{';
      text_ += labels;
      if (!labels.empty() && !more.empty()) text_ += ',';
      text_ += more;
      text_ += '}';
    }
    text_ += ' ';
    text_ += value;
    text_ += '\n';
  }
  std::string take() { return std::move(text_); }

 private:
  static std::string escaped_help(std::string_view help) {
    std::string out;
    for (const char c : help) out += c == '\\' ? "\\\\" : c == '\n' ? "\\n" : std::string(1, c);
    return out;
  }
  std::string text_;
};

void write_histogram(const MetricRule& rule, const Row& row, const Json& value, MetricsText& text) {
  const std::string bucket = fmt::format("{}_bucket", rule.name);
  uint64_t below = 0;
  for (const Json& b : value.at("buckets")) {
    below += b.at("count").get<uint64_t>();
    const Json& bound = b.at("le_seconds");
    text.sample(bucket, row.labels,
                label("le", bound.is_null() ? "+Inf" : fmt::format("{}", bound.get<double>())),
                std::to_string(below));
  }
  text.sample(fmt::format("{}_sum", rule.name), row.labels, "",
              fmt::format("{}", value.at("sum_seconds").get<double>()));
  text.sample(fmt::format("{}_count", rule.name), row.labels, "", std::to_string(below));
}

/// A value that the row does not have gives no sample: it is not known.
void write_row(const MetricRule& rule, const Json::json_pointer& pointer, const Row& row, MetricsText& text) {
  if (!row.object->contains(pointer)) return;
  const Json& value = row.object->at(pointer);
  if (value.is_null()) return;
  const auto one = [&](std::string_view number) { text.sample(rule.name, row.labels, "", number); };
  switch (rule.reading) {
    case MetricReading::number:
      return one(value.dump());
    case MetricReading::flag:
      return one(value.get<bool>() ? "1" : "0");
    case MetricReading::milliseconds:
      return one(fmt::format("{}", value.get<double>() / 1000));
    case MetricReading::size:
      return one(std::to_string(value.size()));
    case MetricReading::members:
      for (const std::string_view word : rule.words) {
        const auto member = value.find(word);
        text.sample(rule.name, row.labels, label(rule.label, word),
                    member == value.end() ? "0" : member->dump());
      }
      return;
    case MetricReading::state:
      for (const std::string_view word : rule.words)
        text.sample(rule.name, row.labels, label(rule.label, word),
                    value.get_ref<const std::string&>() == word ? "1" : "0");
      return;
    case MetricReading::info: {
      std::string labels;
      for (const std::string_view key : rule.words) {
        if (!labels.empty()) labels += ',';
        labels += label(key, plain(value.at(std::string(key))));
      }
      return text.sample(rule.name, row.labels, labels, "1");
    }
    case MetricReading::histogram:
      return write_histogram(rule, row, value, text);
  }
}

}  // namespace

std::string metrics_text(const MetricsSource& source) {
  const auto rows = all_rows(source);
  MetricsText text;
  for (const MetricRule& rule : kMetricRules) {
    const Json::json_pointer pointer{std::string(rule.pointer)};
    text.begin(rule);
    for (const Row& row : rows[static_cast<std::size_t>(rule.scope)]) write_row(rule, pointer, row, text);
  }
  return text.take();
}

}  // namespace xebec
