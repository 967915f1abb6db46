#include "dsn_reader.h"

#include "postern/text.h"

namespace postern::simulation {

namespace {

/// What stands between two marks; nothing when they are not there.
std::optional<std::string> between(std::string_view text, std::string_view before, std::string_view after) {
  const std::size_t begin = text.find(before);
  if (begin == text.npos) return std::nullopt;
  const std::size_t start = begin + before.size();
  const std::size_t end = text.find(after, start);
  if (end == text.npos) return std::nullopt;
  return std::string(text.substr(start, end - start));
}

/// The contents of the parts, without their headers.
std::vector<std::string_view> parts_of(std::string_view text, const std::string& boundary) {
  std::vector<std::string_view> parts;
  const std::string mark = "\r\n--" + boundary;
  std::size_t at = text.find(mark);
  while (at != text.npos) {
    const std::size_t begin = at + mark.size();
    at = text.find(mark, begin);
    if (at == text.npos) break;
    const std::string_view part = text.substr(begin, at - begin);
    const std::size_t header = part.find("\r\n\r\n");
    if (header != part.npos) parts.push_back(part.substr(header + 4));
  }
  return parts;
}

std::string field(std::string_view group, std::string_view name) {
  while (!group.empty()) {
    const std::string_view line = trim(take_until(group, '\n'));
    if (!starts_with_folded(line, name) || line.size() <= name.size() || line[name.size()] != ':') continue;
    return std::string(trim(line.substr(name.size() + 1)));
  }
  return {};
}

bool says_maybe(std::string_view words, const std::string& recipient) {
  return words.find("\r\n  " + recipient + "\r\n    It may have been delivered") != words.npos;
}

}  // namespace

std::optional<Report> read_report(std::string_view text) {
  const std::size_t header_end = text.find("\r\n\r\n");
  const std::string_view header = text.substr(0, header_end);
  if (header.find("multipart/report") == header.npos) return std::nullopt;
  const auto boundary = between(header, "boundary=\"", "\"");
  const auto id = between(header, " (Postern) id ", ";");
  const auto message_id = between(header, "Message-ID: <", "@");
  if (!boundary || !id || !message_id) return std::nullopt;
  const auto parts = parts_of(text, *boundary);
  if (parts.size() < 3) return std::nullopt;
  Report out;
  out.id = *id;
  out.message_id = *message_id;
  out.returned = std::string(parts[2]);
  std::string_view status = parts[1];
  while (!status.empty()) {
    const std::size_t end = status.find("\r\n\r\n");
    const std::string_view group = status.substr(0, end);
    status = end == status.npos ? std::string_view() : status.substr(end + 4);
    std::string recipient = field(group, "Final-Recipient");
    if (recipient.empty()) continue;
    recipient.erase(0, recipient.find(' ') + 1);
    const bool maybe = says_maybe(parts[0], recipient);
    out.entries.push_back({recipient, field(group, "Action"), field(group, "Final-Log-ID"), maybe});
  }
  return out;
}

}  // namespace postern::simulation
