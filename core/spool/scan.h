// Reading a segment's octets batch by batch, and past damage to the next whole batch.
//
// Input: whatever a file contained; nothing in it is trusted.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/spool/format.h"

namespace postern::spool {

struct ScannedRecord {
  std::uint64_t offset = 0;
  RecordHeader header;
};

struct ScannedBatch {
  std::uint64_t begin = 0, end = 0;
  std::uint64_t number = 0, previous = 0;
  BatchEnd last{};
  std::vector<ScannedRecord> records{};  ///< without the end-of-batch
};

class Scanner {
 public:
  Scanner(std::string_view octets, std::uint64_t stamp) : octets_(octets), stamp_(stamp) {}

  /// The whole batch that begins here and is later than `after`.
  std::optional<ScannedBatch> batch_at(std::uint64_t at, std::uint64_t after);
  /// The first such batch at or beyond `at`.
  std::optional<ScannedBatch> next_batch(std::uint64_t at, std::uint64_t after);
  /// Records between two places that are whole by themselves and later than batch `after`.
  std::vector<ScannedRecord> records_between(std::uint64_t begin, std::uint64_t end, std::uint64_t after) const;
  /// The greatest batch number in an intact record header from `at`; 0 when there is none.
  std::uint64_t greatest_batch(std::uint64_t at) const;

  std::string_view payload(const ScannedRecord& record) const {
    return octets_.substr(record.offset + sizeof(RecordHeader), record.header.length);
  }

 private:
  std::optional<RecordHeader> header_at(std::uint64_t at) const;
  std::optional<RecordHeader> whole_at(std::uint64_t at) const;

  std::string_view octets_;
  std::uint64_t stamp_;
  std::uint64_t failed_at_ = 0;  ///< where the last batch_at() met something that belongs to no whole batch
};

}  // namespace postern::spool
