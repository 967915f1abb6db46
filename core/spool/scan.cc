#include "core/spool/scan.h"

#include <algorithm>

#include "core/spool/footer.h"

namespace postern::spool {

std::optional<RecordHeader> Scanner::header_at(std::uint64_t at) const {
  auto magic = take<std::uint32_t>(octets_, at);
  if (magic != kRecordMagic) return std::nullopt;
  auto header = take<RecordHeader>(octets_, at);
  if (!header || !intact(*header) || header->stamp != stamp_) return std::nullopt;
  return header;
}

std::optional<RecordHeader> Scanner::whole_at(std::uint64_t at) const {
  auto header = header_at(at);
  if (!header || !whole_record(octets_.substr(at), stamp_)) return std::nullopt;
  return header;
}

std::optional<ScannedBatch> Scanner::batch_at(std::uint64_t at, std::uint64_t after) {
  ScannedBatch batch{.begin = at};
  while (true) {
    failed_at_ = at;
    auto header = whole_at(at);
    if (!header || header->batch <= after) return std::nullopt;
    if (batch.number == 0) batch.number = header->batch;
    if (header->batch != batch.number) return std::nullopt;
    at += record_size(header->length);
    if (header->type != static_cast<std::uint8_t>(RecordType::kEndOfBatch)) {
      batch.records.push_back({at - record_size(header->length), *header});
      continue;
    }
    failed_at_ = at;
    auto last = take<BatchEnd>(octets_, at - record_size(header->length) + sizeof(RecordHeader));
    if (!last || header->length != sizeof(BatchEnd) || header->count != batch.records.size() + 1) return std::nullopt;
    batch.end = at;
    batch.previous = static_cast<std::uint64_t>(header->time);
    batch.last = *last;
    return batch;
  }
}

std::optional<ScannedBatch> Scanner::next_batch(std::uint64_t at, std::uint64_t after) {
  while (at + sizeof(RecordHeader) <= octets_.size()) {
    if (header_at(at)) {
      if (auto batch = batch_at(at, after)) return batch;
      // No batch begins among the records just seen: it would have failed at the same place.
      at = std::max(failed_at_, at + kAlign);
    } else {
      at += kAlign;
    }
  }
  return std::nullopt;
}

std::vector<ScannedRecord> Scanner::records_between(std::uint64_t begin, std::uint64_t end, std::uint64_t after) const {
  std::vector<ScannedRecord> records;
  for (std::uint64_t at = begin; at + sizeof(RecordHeader) <= end;) {
    auto header = whole_at(at);
    if (header && header->batch > after) {
      if (header->type != static_cast<std::uint8_t>(RecordType::kEndOfBatch)) records.push_back({at, *header});
      at += record_size(header->length);
    } else {
      at += kAlign;
    }
  }
  return records;
}

std::uint64_t Scanner::greatest_batch(std::uint64_t at) const {
  std::uint64_t greatest = 0;
  for (; at + sizeof(RecordHeader) <= octets_.size(); at += kAlign)
    if (auto header = header_at(at)) greatest = std::max(greatest, header->batch);
  return greatest;
}

}  // namespace postern::spool
