// The words for TLS levels and sources, and the base of what decides about them.
#include "way.h"

namespace postern::relay {

TlsPolicies::~TlsPolicies() = default;

Task<void> TlsPolicies::run() {
  co_return;
}

std::string_view to_string(TlsLevel level) {
  switch (level) {
    case TlsLevel::kNone:
      return "none";
    case TlsLevel::kOpportunistic:
      return "opportunistic";
    case TlsLevel::kEncrypt:
      return "encrypt";
    case TlsLevel::kVerify:
      return "verify";
  }
  return "none";
}

std::string_view to_string(TlsSource source) {
  switch (source) {
    case TlsSource::kNone:
      return "none";
    case TlsSource::kStatic:
      return "static";
    case TlsSource::kDane:
      return "dane";
    case TlsSource::kMtaSts:
      return "mta-sts";
  }
  return "none";
}

bool may_log_in(const Way& way, TlsLevel level) {
  return level == TlsLevel::kVerify || way.trusts_any;
}

}  // namespace postern::relay
