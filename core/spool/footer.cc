#include "core/spool/footer.h"

#include <array>

namespace postern::spool {

namespace {

constexpr std::uint64_t kMaxFooter = 256ULL << 20;

/// What a start needs of a record beside its header: an accept's head and envelope, a change's text.
bool append_extra(File& file, std::uint64_t offset, const RecordHeader& header, std::string& to) {
  std::uint64_t length = header.length;
  if (is_accept(header.type)) {
    std::array<char, sizeof(AcceptHead)> octets;
    auto got = file.read(octets, offset + sizeof(RecordHeader));
    if (!got || *got != octets.size()) return false;
    AcceptHead head = *take<AcceptHead>({octets.data(), octets.size()});
    length = sizeof(AcceptHead) + std::uint64_t{head.envelope};
    if (length > header.length) return false;
  }
  std::size_t begin = to.size();
  to.resize(begin + length);
  auto got = file.read(std::span(to).subspan(begin), offset + sizeof(RecordHeader));
  return got && *got == length;
}

}  // namespace

bool whole_record(std::string_view octets, std::uint64_t stamp) {
  auto header = take<RecordHeader>(octets);
  if (!header || !intact(*header) || header->stamp != stamp) return false;
  std::string_view payload = octets.substr(sizeof(RecordHeader));
  if (payload.size() < header->length) return false;
  payload = payload.substr(0, header->length);
  if (checksum(payload.substr(0, header->covered)) != header->payload_crc) return false;
  if (!is_accept(header->type)) return header->covered == header->length;
  auto head = accept_head(*header, payload);
  return head && (head->body_file != 0 || checksum(payload.substr(head->front())) == head->body_crc);
}

bool write_footer(Segment& segment) {
  FooterHeader footer{.stamp = segment.stamp, .end = segment.used};
  std::string entries;
  for (std::uint64_t at = kHeaderRoom; at < segment.used;) {
    FooterEntry entry{.offset = at, .header = {}};
    std::array<char, sizeof(RecordHeader)> octets;
    auto got = segment.file->read(octets, at);
    if (!got || *got != octets.size()) return false;
    entry.header = *take<RecordHeader>({octets.data(), octets.size()});
    if (!intact(entry.header) || entry.header.stamp != segment.stamp) return false;
    at += record_size(entry.header.length);
    std::string extra;
    if (!append_extra(*segment.file, entry.offset, entry.header, extra)) return false;
    if (entry.header.type == static_cast<std::uint8_t>(RecordType::kEndOfBatch)) {
      footer.last_batch = entry.header.batch;
      if (auto end = take<BatchEnd>(extra)) footer.last_end = *end;
      continue;
    }
    entry.extra = static_cast<std::uint32_t>(extra.size());
    entries.append(octets_of(entry)).append(extra);
    ++footer.count;
  }
  if (entries.size() > kMaxFooter) return false;
  footer.length = entries.size();
  footer.crc = checksum(entries);
  seal(footer);
  std::array<std::string_view, 2> parts{octets_of(footer), entries};
  return segment.file->write(parts, segment.size) == 0 && segment.file->sync() == 0;
}

std::optional<Footer> read_footer(File& file, const SegmentHeader& segment) {
  Footer footer;
  std::array<char, sizeof(FooterHeader)> octets;
  auto got = file.read(octets, segment.size);
  if (!got || *got != octets.size()) return std::nullopt;
  footer.header = *take<FooterHeader>({octets.data(), octets.size()});
  if (!intact(footer.header) || footer.header.stamp != segment.stamp) return std::nullopt;
  if (footer.header.length > kMaxFooter || footer.header.end < kHeaderRoom || footer.header.end > segment.size)
    return std::nullopt;
  footer.entries.resize(footer.header.length);
  got = file.read(footer.entries, segment.size + sizeof(FooterHeader));
  if (!got || *got != footer.entries.size() || checksum(footer.entries) != footer.header.crc) return std::nullopt;
  return footer;
}

bool for_each_entry(const Footer& footer, const std::function<void(const FooterEntry&, std::string_view extra)>& each) {
  std::string_view rest = footer.entries;
  while (!rest.empty()) {
    auto entry = take<FooterEntry>(rest);
    if (!entry || rest.size() - sizeof(FooterEntry) < entry->extra) return false;
    each(*entry, rest.substr(sizeof(FooterEntry), entry->extra));
    rest.remove_prefix(sizeof(FooterEntry) + entry->extra);
  }
  return true;
}

}  // namespace postern::spool
