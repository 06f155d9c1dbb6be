// SPDX-License-Identifier: BSD-2-Clause
#include "control/captures.h"

#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/pcapng.h"
#include "dataplane/clock.h"
#include "dataplane/decision_name.h"

namespace xebec {
namespace {

// Of one answer: a few milliseconds of the control thread.
constexpr std::size_t kMaxAnswerBytes = std::size_t{4} << 20;

}  // namespace

Captures::Captures(EventLoop& loop, Engine& engine, std::function<void()> retired)
    : loop_(loop), engine_(engine), retired_(std::move(retired)) {}

Captures::~Captures() {
  for (auto& [number, capture] : captures_) loop_.cancel(capture.patience);
  captures_.clear();
  tap_workers();
}

void Captures::tap_workers() {
  for (std::size_t w = 0; w < engine_.workers().size(); ++w) {
    std::vector<std::shared_ptr<CaptureTap>> taps;
    for (auto& [number, capture] : captures_) taps.push_back(capture.taps[w]);
    engine_.set_taps(w, taps.empty() ? nullptr : std::make_shared<const CaptureTaps>(std::move(taps)));
  }
}

void Captures::wait_for_reader(uint64_t number, Capture& capture) {
  if (capture.patience != 0) loop_.cancel(capture.patience);
  capture.patience = loop_.after(kPatience, [this, number] {
    spdlog::warn("capture {}: nobody has read it for {} s: ended", number, kPatience.count());
    captures_.at(number).patience = 0;
    remove(number);
  });
}

void Captures::remove(uint64_t number) {
  const auto it = captures_.find(number);
  if (it->second.patience != 0) loop_.cancel(it->second.patience);
  captures_.erase(it);
  tap_workers();
  retired_();
}

tl::expected<uint64_t, std::string> Captures::start(CaptureOptions options) {
  if (captures_.size() >= kMaxCaptures)
    return tl::unexpected(
        fmt::format("capture: {} run already, more would cost every worker too much", captures_.size()));
  const uint64_t number = next_++;
  Capture& capture = captures_[number];
  capture.options = std::move(options);
  for (std::size_t w = 0; w < engine_.workers().size(); ++w)
    capture.taps.push_back(std::make_shared<CaptureTap>(capture.options.filter, kCaptureRingBytes));
  wait_for_reader(number, capture);
  tap_workers();
  retired_();
  return number;
}

std::string Captures::comment_of(const CaptureRecord& r, std::size_t worker) const {
  std::string text(name_of(r.verdict));
  if (r.verdict == Verdict::drop)
    text += fmt::format(" {} ({})", name_of(r.reason), kDropReasons[static_cast<std::size_t>(r.reason)].text);
  if (r.verdict == Verdict::reply)
    text += r.reason == DropReason::not_ip ? std::string(" icmp=echo")
                                           : fmt::format(" icmp=error because={}", name_of(r.reason));
  if (!r.service_name().empty()) text += fmt::format(" service={}", r.service_name());
  if (r.has_backend) text += fmt::format(" backend={}", r.backend.to_string());
  if (r.to_client) text += " to=client";
  if (!name_of(r.origin).empty()) text += fmt::format(" flow={}", name_of(r.origin));
  if (r.verdict == Verdict::cut) text += " in-pieces";
  if ((r.verdict == Verdict::forward || r.verdict == Verdict::cut) && r.egress < engine_.interfaces().size())
    text += fmt::format(" out={}", engine_.interfaces()[r.egress].config.name);
  return text + fmt::format(" worker={}{}", worker, r.sent ? " as-sent" : "");
}

void Captures::begin(const Capture& capture, std::string& out) const {
  append_section(out, "xebecd " XEBEC_VERSION);
  for (const ServedInterface& i : engine_.interfaces())
    append_interface(out, i.config.name, capture.options.filter.snaplen, capture.options.comment);
}

/// What the rings hold now, in the order of time; no more than is asked for.
void Captures::drain(Capture& capture, std::string& out) const {
  struct Taken {
    uint64_t time_ns;
    std::size_t worker;
    CaptureRecord record;
    std::vector<uint8_t> bytes;
  };
  std::vector<Taken> taken;
  const uint64_t left = capture.options.count == 0 ? UINT64_MAX : capture.options.count - capture.written;
  std::size_t bytes = 0;
  for (std::size_t w = 0; w < capture.taps.size(); ++w) {
    const std::size_t share = (w + 1) * kMaxAnswerBytes / capture.taps.size();
    Taken next{0, w, {}, {}};
    while (bytes < share && capture.taps[w]->ring().pop(next.record, next.bytes)) {
      bytes += next.bytes.size() + sizeof next.record;
      next.time_ns = next.record.time_ns;
      taken.push_back(next);
    }
  }
  std::stable_sort(taken.begin(), taken.end(),
                   [](const Taken& a, const Taken& b) { return a.time_ns < b.time_ns; });
  if (taken.size() > left) taken.resize(left);
  for (const Taken& t : taken) {
    append_packet(out, {t.record.interface, t.time_ns, t.record.length, t.bytes,
                        t.record.sent ? PcapngDirection::outbound : PcapngDirection::inbound,
                        comment_of(t.record, t.worker)});
    ++capture.written_by_interface[t.record.interface];
  }
  capture.written += taken.size();
}

void Captures::end(const Capture& capture, std::string& out) const {
  for (std::size_t i = 0; i < engine_.interfaces().size(); ++i) {
    uint64_t lost = 0;
    for (const auto& tap : capture.taps) lost += tap->ring().lost(static_cast<uint16_t>(i));
    append_statistics(out, static_cast<uint32_t>(i), time_of_day_ns(), capture.written_by_interface[i], lost);
  }
}

std::optional<std::string> Captures::read(uint64_t number) {
  const auto it = captures_.find(number);
  if (it == captures_.end()) return std::nullopt;
  Capture& capture = it->second;
  std::string out;
  if (!std::exchange(capture.begun, true)) begin(capture, out);
  drain(capture, out);
  if (capture.options.count != 0 && capture.written == capture.options.count) {
    end(capture, out);
    remove(number);
  } else {
    wait_for_reader(number, capture);
  }
  return out;
}

std::optional<std::string> Captures::stop(uint64_t number) {
  const auto it = captures_.find(number);
  if (it == captures_.end()) return std::nullopt;
  Capture& capture = it->second;
  std::string out;
  if (!std::exchange(capture.begun, true)) begin(capture, out);
  drain(capture, out);
  end(capture, out);
  remove(number);
  return out;
}

std::vector<Captures::Running> Captures::running() const {
  std::vector<Running> rows;
  for (const auto& [number, capture] : captures_) {
    Running row{number, capture.options.comment, capture.written, 0};
    for (const auto& tap : capture.taps) {
      for (std::size_t i = 0; i < engine_.interfaces().size(); ++i)
        row.lost += tap->ring().lost(static_cast<uint16_t>(i));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace xebec
