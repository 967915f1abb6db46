// What the server says of itself. Texts that never change are kept as they go over the wire.
//
// RFC: 5321 §4.2.3 (codes), 3463 and 5248 (enhanced codes), 4954 §6 (AUTH).
#pragma once

#include <string_view>

namespace postern::smtp::replies {

using Text = std::string_view;

inline constexpr Text kOk = "250 2.0.0 Ok\r\n";
inline constexpr Text kReset = "250 2.0.0 Reset\r\n";
inline constexpr Text kSenderOk = "250 2.1.0 Sender ok\r\n";
inline constexpr Text kRecipientOk = "250 2.1.5 Recipient ok\r\n";
inline constexpr Text kGoAhead = "354 End your message with a line of a single dot\r\n";
inline constexpr Text kAnalysing = "353 An answer for each recipient follows\r\n";
inline constexpr Text kBye = "221 2.0.0 Bye\r\n";
inline constexpr Text kStartTls = "220 2.0.0 Go ahead with TLS\r\n";
inline constexpr Text kVrfy = "252 2.1.5 Send mail to it and see\r\n";
inline constexpr Text kAuthOk = "235 2.7.0 Welcome\r\n";

inline constexpr Text kDraining = "421 4.3.2 Shutting down, come back in a moment\r\n";
inline constexpr Text kTimeout = "421 4.4.2 You were silent for too long\r\n";
inline constexpr Text kTooManyErrors = "421 4.7.0 Too many errors\r\n";
inline constexpr Text kTooManyCommands = "421 4.7.0 Too many commands without a message\r\n";
inline constexpr Text kTooManyMessages = "421 4.7.0 Too many messages in one session, connect again\r\n";
inline constexpr Text kTooManyConnections = "421 4.7.0 Too many connections from your address\r\n";
inline constexpr Text kServerBusy = "421 4.3.2 Too many connections\r\n";
inline constexpr Text kTooManyBytes = "421 4.7.0 Too much data in one session\r\n";
inline constexpr Text kInternal = "421 4.3.0 Something went wrong here\r\n";

inline constexpr Text kMailFull = "452 4.3.1 No room for your message now\r\n";
inline constexpr Text kMailFault = "451 4.3.0 Your message could not be stored now\r\n";
inline constexpr Text kTooManyRecipients = "452 4.5.3 Too many recipients\r\n";
inline constexpr Text kNoTlsNow = "454 4.7.0 TLS is not available now\r\n";
inline constexpr Text kAuthUnavailable = "454 4.7.0 Logins cannot be checked now\r\n";
inline constexpr Text kAuthThrottled = "454 4.7.0 Too many failed logins, try again later\r\n";

inline constexpr Text kUnknown = "500 5.5.1 Unknown command; HELP lists those that exist\r\n";
inline constexpr Text kLineTooLong = "500 5.5.2 Line too long\r\n";
inline constexpr Text kBadOctets = "500 5.5.2 A command holds printable text only\r\n";
inline constexpr Text kBareLf = "500 5.5.2 End each line with CR LF (with netcat: nc -C)\r\n";
inline constexpr Text kUseLhlo = "500 5.5.1 This is LMTP: say LHLO\r\n";
inline constexpr Text kUseEhlo = "500 5.5.1 This is SMTP: say EHLO\r\n";
inline constexpr Text kNotBase64 = "501 5.5.2 That is not base64; alice, for instance, is YWxpY2U=\r\n";
inline constexpr Text kAuthAborted = "501 5.7.0 Login abandoned\r\n";
inline constexpr Text kAuthMalformed = "501 5.5.2 That is not what the mechanism wants\r\n";
inline constexpr Text kAuthSyntax = "501 5.5.4 Syntax: AUTH mechanism [initial-response]\r\n";
inline constexpr Text kAuthLineTooLong = "500 5.5.6 Authentication exchange line is too long\r\n";
inline constexpr Text kNotImplemented = "502 5.5.1 Not implemented\r\n";
inline constexpr Text kNoVrfy = "502 5.5.1 Not offered here\r\n";
inline constexpr Text kAfterHello = "503 5.5.1 Say EHLO first\r\n";
inline constexpr Text kAfterLhlo = "503 5.5.1 Say LHLO first\r\n";
inline constexpr Text kInsideMail = "503 5.5.1 Say MAIL first\r\n";
inline constexpr Text kOutsideMail = "503 5.5.1 Not within a mail transaction; RSET ends it\r\n";
inline constexpr Text kWithinChunks = "503 5.5.1 Not between chunks; finish with BDAT LAST or RSET\r\n";
inline constexpr Text kChunksFailed = "503 5.5.1 An earlier chunk failed; RSET ends this transaction\r\n";
inline constexpr Text kNeedRecipient = "503 5.5.1 No valid recipients\r\n";
inline constexpr Text kAlreadyTls = "503 5.5.1 TLS is on already\r\n";
inline constexpr Text kAlreadyAuth = "503 5.5.1 You are logged in already\r\n";
inline constexpr Text kUnknownMechanism = "504 5.5.4 Mechanism not offered\r\n";
inline constexpr Text kNoArgument = "501 5.5.4 This command takes no argument\r\n";
inline constexpr Text kNeedArgument = "501 5.5.4 An argument is missing\r\n";
inline constexpr Text kNeedTls = "530 5.7.0 Say STARTTLS first\r\n";
inline constexpr Text kNeedAuth = "530 5.7.0 Log in first\r\n";
inline constexpr Text kAuthRefused = "535 5.7.8 Wrong name or password\r\n";
inline constexpr Text kAuthNeedsTls = "538 5.7.11 This login needs TLS: say STARTTLS first\r\n";
inline constexpr Text kNoXclient = "550 5.7.0 Not permitted\r\n";
inline constexpr Text kEarlyTalker = "554 5.5.1 You spoke before the greeting\r\n";
inline constexpr Text kEarlyTls = "554 5.5.1 Nothing may follow STARTTLS before its answer\r\n";
inline constexpr Text kForeign = "500 5.5.1 This is a mail server\r\n";

}  // namespace postern::smtp::replies
