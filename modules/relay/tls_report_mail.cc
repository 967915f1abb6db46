#include "tls_report_mail.h"

#include <fmt/format.h>
#include <zlib.h>

#include "postern/mail_date.h"
#include "postern/text.h"
#include "tls_report_files.h"

namespace postern::relay {

namespace {

constexpr std::size_t kLine = 76;     // RFC 2045 §6.8
constexpr int kGzipWindow = 15 + 16;  // deflateInit2: 16 more asks for gzip's header
constexpr std::uint64_t kDay = 86'400;

std::string base64_lines(std::string_view octets) {
  const std::string text = base64_encode(octets);
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += kLine) out.append(text, at, kLine).append("\r\n");
  return out;
}

}  // namespace

Result<std::string> gzip(std::string_view octets) {
  z_stream z{};
  if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    return fault("tlsrpt.gzip", "zlib cannot start");
  std::string out(deflateBound(&z, octets.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(octets.data()));
  z.avail_in = static_cast<uInt>(octets.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  const int result = deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  if (result != Z_STREAM_END) return fault("tlsrpt.gzip", "zlib cannot end");
  return out;
}

std::string tls_report_file_name(const TlsReportMail& mail) {
  const auto begin = static_cast<std::uint64_t>(std::chrono::sys_seconds(mail.day).time_since_epoch().count());
  const std::string_view id = std::string_view(mail.report_id).substr(0, mail.report_id.find('@'));
  return fmt::format("{}!{}!{}!{}!{}.json.gz", mail.submitter, mail.domain, begin, begin + kDay - 1, id);
}

std::string tls_report_message(const TlsReportMail& mail, std::string_view report) {
  // Base64 lines and our own words hold no "=_", so any boundary that begins so is safe.
  const std::string safe = "=_" + hex_encode(mail.report_id).substr(0, 60);
  std::string out = fmt::format(
      "Date: {}\r\nFrom: TLS reports <{}>\r\nTo: <{}>\r\nMessage-ID: {}\r\n"
      "Subject: Report Domain: {}\r\n Submitter: {}\r\n Report-ID: <{}>\r\n"
      "TLS-Report-Domain: {}\r\nTLS-Report-Submitter: {}\r\nTLS-Required: No\r\nAuto-Submitted: auto-generated\r\n"
      "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"{}\"\r\n\r\n",
      format_mail_date(mail.now), mail.from, mail.to, mail.message_id, mail.domain, mail.submitter, mail.report_id,
      mail.domain, mail.submitter, safe);
  out += fmt::format(
      "--{0}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
      "This is an aggregate report about TLS connections to the mail hosts of\r\n{1},\r\n"
      "for {2} (UTC), from {3}.\r\n\r\n",
      safe, mail.domain, day_text(mail.day), mail.submitter);
  out += fmt::format(
      "--{0}\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n"
      "Content-Disposition: attachment;\r\n filename=\"{1}\"\r\n\r\n{2}\r\n--{0}--\r\n",
      safe, tls_report_file_name(mail), base64_lines(report));
  return out;
}

}  // namespace postern::relay
