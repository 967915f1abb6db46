// Line ends: files hold LF, as mutt and Dovecot expect; the wire has CRLF. Both ways work on pieces of any size.
//
// Values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace postern::maildir {

/// CRLF to LF, and the sizes that a file's name tells (S=, W=).
class ToFile {
 public:
  /// Appends the piece to `out` with each CRLF as LF. A lone CR stays; a CR at the piece's end waits for the next one.
  void feed(std::string_view piece, std::string& out);
  /// A CR that waited at the very end.
  void finish(std::string& out);
  std::uint64_t size() const { return size_; }            ///< octets in the file
  std::uint64_t wire_size() const { return wire_size_; }  ///< octets when read with CRLF

 private:
  void put(std::string_view octets, std::string& out);
  std::uint64_t size_ = 0;
  std::uint64_t wire_size_ = 0;
  bool held_cr_ = false;
  bool after_cr_ = false;  ///< the last octet put was a CR
};

/// LF to CRLF; a CRLF that is in the file already stays one.
class ToWire {
 public:
  void feed(std::string_view piece, std::string& out);

 private:
  bool after_cr_ = false;
};

/// How many octets ToWire would give for a file's content, piece by piece.
class WireCounter {
 public:
  void feed(std::string_view piece);
  std::uint64_t octets() const { return octets_; }

 private:
  std::uint64_t octets_ = 0;
  bool after_cr_ = false;
};

}  // namespace postern::maildir
