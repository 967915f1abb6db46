---@meta postern
-- Words of scripts, for editors that speak with the Lua language server. Generated: postern lua annotations

---@class postern.verdict
---@class postern.action
---@class postern.recipients
---@class postern.matcher
---@operator mul(postern.matcher|function): postern.matcher
---@operator add(postern.matcher|function): postern.matcher
---@operator unm: postern.matcher

---@alias postern.on_error "defer"|"skip"|"quarantine"|"reject"
---@alias postern.role "mx"|"submission"|"submissions"|"lmtp"|"local"
---@alias postern.wanted boolean|postern.recipient|postern.recipient[]|postern.recipients|nil

---@class postern.rule
---@field when? postern.matcher|fun(mail: postern.mail): postern.wanted
---@field name? string
---@field on_error? postern.on_error
---@field [integer] postern.action|postern.verdict|fun(mail: postern.mail): postern.verdict|postern.action|nil

---@class postern.hook_options
---@field role? postern.role|postern.role[]
---@field name? string
---@field on_error? postern.on_error

---@alias postern.session_stage "connect"|"ehlo"|"starttls"|"auth"|"disconnect"
---@alias postern.mail_stage "mail"|"data"|"message"
---@alias postern.queue_stage "queued"|"route"|"attempt"|"delivered"|"deferred"|"bounced"
---@alias postern.session_hook fun(session: postern.session): postern.verdict?
---@alias postern.mail_hook fun(session: postern.session, mail: postern.mail): postern.verdict?
---@alias postern.rcpt_hook fun(session: postern.session, recipient: postern.recipient, mail: postern.mail): postern.verdict?
---@alias postern.queue_hook fun(mail: postern.mail, event: postern.event): postern.verdict?

---@class postern.on
---@overload fun(stage: postern.session_stage, hook: postern.session_hook)
---@overload fun(stage: postern.session_stage, options: postern.hook_options, hook: postern.session_hook)
---@overload fun(stage: postern.mail_stage, hook: postern.mail_hook)
---@overload fun(stage: postern.mail_stage, options: postern.hook_options, hook: postern.mail_hook)
---@overload fun(stage: "rcpt", hook: postern.rcpt_hook)
---@overload fun(stage: "rcpt", options: postern.hook_options, hook: postern.rcpt_hook)
---@overload fun(stage: postern.queue_stage, hook: postern.queue_hook)
---@overload fun(stage: postern.queue_stage, options: postern.hook_options, hook: postern.queue_hook)

---Questions to the DNS; each is a wait.
---@class postern.dns
---@field a fun(name: string): postern.dns_answer?, string? # IPv4 addresses; nil and why when nobody could say
---@field aaaa fun(name: string): postern.dns_answer?, string? # IPv6 addresses
---@field mx fun(name: string): postern.dns_answer?, string? # { preference, exchange }
---@field txt fun(name: string): postern.dns_answer?, string? # texts
---@field ptr fun(ip: postern.ip|string): postern.dns_answer?, string? # names of an address
---@field tlsa fun(name: string): postern.dns_answer?, string? # { usage, selector, matching, data }
---@field srv fun(name: string): postern.dns_answer?, string? # { priority, weight, port, target }
---@field ns fun(name: string): postern.dns_answer?, string? # names of servers
---@field soa fun(name: string): postern.dns_answer?, string? # { primary }
---@field cname fun(name: string): postern.dns_answer?, string? # what an alias stands for

---Lines in the log.
---@class postern.log
---@field debug fun(text: any) # for whoever looks for a mistake
---@field info fun(text: any) # what happened
---@field warn fun(text: any) # what should not happen
---@field error fun(text: any) # what somebody must mend

---The time, as the trail has it.
---@class postern.clock
---@field now fun(): number # seconds since 1970

---Requests over HTTP; each is a wait.
---@class postern.http
---@field get fun(url: string, options?: table): postern.http_response?, string? # options: headers, timeout, max_size; nil and a code when there is no answer
---@field post fun(url: string, options: table): postern.http_response?, string? # options also body, content_type

---An answer over HTTP.
---@class postern.http_response
---@field status integer # 200
---@field ok boolean # 2xx
---@field body string
---@field content_type string
---@field headers table<string, string> # names in lower case

---Questions to databases; each is a wait.
---@class postern.sql
---@field query fun(database: string, statement: string, ...: any): table?, string? # rows by column, and `changed`; ? for arguments

---Values that outlive a mail; each question is a wait.
---@class postern.kv
---@field get fun(key: string, options?: table): string?, string? # the value, or nil
---@field set fun(key: string, value: any, expiry?: string|integer): boolean?, string? # true
---@field incr fun(key: string, by?: integer, expiry?: string|integer): integer?, string? # the new number
---@field remove fun(key: string): integer?, string? # how many there were
---@field store fun(name: string): postern.kv # another store, with these as methods

---Accounts, aliases and domains; each question is a wait.
---@class postern.directory
---@field user fun(address: string): string?, string? # the account
---@field alias fun(address: string): string[]?, string? # where it leads
---@field domain fun(name: string): "local"|"relay"|"foreign"

---Tables out of files.
---@class postern.map
---@field file fun(path: string): table<string, string> # a file of `key,value` lines (.csv) or `key = "value"` lines (.toml)

---JSON.
---@class postern.json
---@field decode fun(text: string): any, string? # the value; nil and why
---@field encode fun(value: any): string # keys sorted
---@field array fun(table?: table): table # a table that is an array even when it is empty
---@field null userdata # null

---Base64.
---@class postern.base64
---@field encode fun(text: string): string # the text in this form
---@field decode fun(text: string): string? # nil for what is not exactly this form

---Hexadecimal.
---@class postern.hex
---@field encode fun(text: string): string # the text in this form
---@field decode fun(text: string): string? # nil for what is not exactly this form

---Hashes.
---@class postern.hash
---@field sha256 fun(text: string, form?: "hex"|"raw"|"base64"): string # SHA-256
---@field sha1 fun(text: string, form?: "hex"|"raw"|"base64"): string # SHA-1
---@field md5 fun(text: string, form?: "hex"|"raw"|"base64"): string # MD5
---@field hmac_sha256 fun(key: string, text: string, form?: "hex"|"raw"|"base64"): string # RFC 2104
---@field equal fun(a: string, b: string): boolean # compares without telling by its time where they differ

---Dates.
---@class postern.time
---@field parse_rfc5322 fun(text: string): number?, integer? # seconds since 1970, and the zone's minutes
---@field format_rfc5322 fun(seconds: number): string # a Date field's value, in UTC
---@field parse_rfc3339 fun(text: string): number? # seconds since 1970
---@field rfc3339 fun(seconds: number): string # in UTC

---postern.ipset { ... }
---@class postern.ipset_maker
---@field file fun(path: string): any # of a file, an entry a line
---@overload fun(entries: string[]): postern.set

---postern.domainset { ... }
---@class postern.domainset_maker
---@field file fun(path: string): any # of a file, an entry a line
---@overload fun(entries: string[]): postern.set

---A session, while somebody waits.
---@class postern.session
---@field id string # of the session, as the log has it
---@field client postern.client # who is connected
---@field role "mx"|"submission"|"submissions"|"lmtp"|"local" # of the listener
---@field listener string # its name in the configuration
---@field ehlo string? # the name that the client gave
---@field esmtp boolean # EHLO or LHLO, not HELO
---@field auth postern.session_auth # who has logged in
---@field tls postern.session_tls? # nil without TLS
---@field proxy postern.ip? # the trusted host that declared the client's address
---@field notes table<string, string|number|boolean> # kept for the connection

---Who has logged in.
---@class postern.session_auth
---@field user string? # nil: nobody has
---@field mechanism string? # "PLAIN" and so on

---How the session is encrypted.
---@class postern.session_tls
---@field version string # "TLSv1.3"
---@field cipher string? # as OpenSSL calls it
---@field server_name string? # that the client asked for (SNI)
---@field peer string? # name in the client's certificate, which was verified

---Who is connected.
---@class postern.client
---@field ip postern.ip # its address
---@field port integer # its port
---@field local_ip postern.ip # ours
---@field local_port integer # ours
---@field reverse_name string? # its name, where that leads back to its address
---@field reverse_verified boolean # whether it does
---@field claimed_name string? # its name, whether that leads back or not
---@field reverse_status string? # what became of the question after it

---An IP address.
---@class postern.ip
---@field reversed fun(self: postern.ip): string # as lists want it: "1.2.0.192"
---@field in_network fun(self: postern.ip, ...: string): boolean # whether it lies in one of these
---@field is_v6 boolean
---@field is_private boolean
---@field is_loopback boolean

---An answer of the DNS; also a list of its records.
---@class postern.dns_answer
---@field any_in fun(self: postern.dns_answer, ...: string): boolean # whether an address lies in one of these networks
---@field ok boolean # there is such a name
---@field empty boolean # there are no records
---@field status string # "ok", "nxdomain"
---@field authenticated boolean # by DNSSEC
---@field canonical_name string # behind aliases

---A recipient of the envelope.
---@class postern.recipient
---@field address string
---@field local_part string # with its tag
---@field user string # without its tag
---@field tag string? # "news" of user+news@example.org
---@field domain string # in lower case, A-labels
---@field orcpt postern.orcpt? # ORCPT of RCPT (RFC 3461)
---@field notify string? # NOTIFY of RCPT: "SUCCESS,FAILURE"
---@field notes table<string, string|number|boolean> # of this recipient

---An original recipient.
---@class postern.orcpt
---@field type string # "rfc822"
---@field address string # decoded

---A mail: what does not exist yet at a stage is an error that names it.
---@class postern.mail
---@field sender string # of the envelope; "" for a bounce
---@field sender_domain string? # nil for a bounce
---@field recipients postern.recipient[] # of the envelope; in a rule those that it is about
---@field recipients_where fun(self: postern.mail, wanted: fun(recipient: postern.recipient): any): postern.recipients # those for which a function says so: what a matcher returns
---@field session postern.session # that brought it
---@field notes table<string, string|number|boolean> # of this mail, for later rules
---@field size integer # octets; before data what the client declared
---@field id string? # of the message, from data on
---@field received_count integer # its Received fields
---@field body_type "7bit"|"8bitmime"|"binarymime" # BODY of MAIL
---@field smtputf8 boolean # SMTPUTF8 of MAIL (RFC 6531)
---@field require_tls boolean # REQUIRETLS of MAIL (RFC 8689)
---@field priority integer? # MT-PRIORITY of MAIL (RFC 6710)
---@field envid string? # ENVID of MAIL, decoded (RFC 3461)
---@field dsn_return "headers"|"full"|nil # RET of MAIL (RFC 3461)
---@field declared_size integer? # SIZE of MAIL (RFC 1870)
---@field hold_until integer? # seconds since 1970 (RFC 4865)
---@field deliver_by postern.deliver_by? # BY of MAIL (RFC 2852)
---@field header fun(self: postern.mail, name: string, nth?: integer): string? # a field's value as UTF-8; nth from 1, from -1 at the end
---@field headers fun(self: postern.mail, name?: string): string[]|postern.header_field[] # the values of all fields of a name; without one all fields
---@field raw_header fun(self: postern.mail, name?: string, nth?: integer): string? # octets as they came: of one field, or of all
---@field addresses fun(self: postern.mail, name: string): postern.header_address[] # of all fields of a name
---@field set_header fun(self: postern.mail, name: string, value: string|number) # the only one of that name from now on
---@field add_header fun(self: postern.mail, name: string, value: string|number, place?: "bottom"|"top") # one more
---@field replace_header fun(self: postern.mail, name: string, nth: integer, value: string|number) # in its place
---@field remove_header fun(self: postern.mail, name: string, nth?: integer) # one, or all of that name
---@field parts fun(self: postern.mail): postern.part[] # all MIME parts in order, the first is the mail itself
---@field part fun(self: postern.mail, section: string): postern.part? # by its number as in IMAP: "1.2"
---@field attachments fun(self: postern.mail): postern.part[]
---@field text fun(self: postern.mail, limit?: integer): string?, postern.part?, boolean? # plain text, else HTML, as UTF-8; its part; whether there is more

---BY of MAIL.
---@class postern.deliver_by
---@field time integer # seconds since 1970
---@field return_if_late boolean # else the sender is only told
---@field trace boolean

---A header field.
---@class postern.header_field
---@field name string # as written
---@field value string # as UTF-8

---An address in the header.
---@class postern.header_address
---@field address string? # nil when it is no valid address
---@field name string? # shown beside it
---@field local_part string?
---@field domain string?
---@field group string? # that it stands in

---A MIME part.
---@class postern.part
---@field type string # "text/plain", in lower case
---@field charset string? # of a text
---@field parameters table<string, string> # of Content-Type, names in lower case
---@field disposition string? # "attachment", "inline"
---@field filename string? # without folders
---@field encoding "7bit"|"8bit"|"binary"|"base64"|"quoted-printable"|"unknown" # of its transfer
---@field id string? # Content-ID
---@field description string? # Content-Description as UTF-8
---@field size integer # octets in the message, encoded
---@field depth integer # 0 for the mail itself
---@field is_attachment boolean
---@field is_multipart boolean
---@field children postern.part[]
---@field parent postern.part?
---@field text fun(self: postern.part, limit?: integer): string?, postern.part?, boolean? # as UTF-8, and whether there is more; nil for what is no text
---@field data fun(self: postern.part, limit?: integer): string, boolean # octets, decoded, and whether there are more
---@field header fun(self: postern.part, name: string): string? # of its own header

---What the queue tells.
---@class postern.event
---@field stage string # "queued" to "bounced"
---@field id string # of the message
---@field recipients postern.recipient[] # that it is about
---@field destination string? # domain or gateway; an account here
---@field attempts integer # made so far
---@field accepted integer # when the message came; seconds since 1970
---@field next integer? # deferred: the next attempt; seconds since 1970
---@field host string? # that replied
---@field reply postern.reply? # what it said; from delivered on
---@field gateway string? # host or host:port; a hook at route may set it
---@field tls string? # as of act.relay; a hook at route may set it
---@field source string? # address to connect from; a hook at route may set it

---An SMTP reply.
---@class postern.reply
---@field code integer # 550
---@field enhanced string # "5.1.1"
---@field text string

---A regular expression.
---@class postern.regex
---@field test fun(self: postern.regex, text: string): boolean # whether it matches somewhere
---@field match fun(self: postern.regex, text: string): ... # captures, or the match
---@field find fun(self: postern.regex, text: string, init?: integer): integer?, integer?, ... # first and last octet, captures
---@field gsub fun(self: postern.regex, text: string, replacement: string|table|function, n?: integer): string, integer # the new text, and how often

---A set of addresses or domains.
---@class postern.set
---@field contains fun(self: any, value: any): boolean # whether it lies in it

---@class postern.match.attachment_name_is.arguments
---@field [1] string|string[] the names; * is any run of characters, ? is one
---@field inside_zip? boolean whether the names in a zip archive count too; false unless given

---@class postern.match.delivery_failed.arguments
---@field permanent? boolean whether refusals for good count; without this and the next one all count
---@field temporary? boolean whether those count that were refused for a while until their time was over
---@field code? any replies that count: "550", "5.1.1", or "5.1" for all below it

---@class postern.match.has_priority.arguments
---@field [1] integer from -9 to 9; mail that was given none has 0
---@field at_least? integer the lowest that is selected
---@field at_most? integer the highest that is selected

---@class postern.match.in_dnsbl.arguments
---@field [1] any the list
---@field codes? any answers that count; 127.0.0.0/24 unless given

---@class postern.match.is_in_drop_list.arguments
---@field table? any senders (an address, or @ and a domain) by recipient (an address, @ and a domain, or *). Under the key file: a file of lines "recipient: sender, sender", read when the scripts are loaded; a whole path, up to 4 MiB

---@class postern.match
---@field all postern.matcher Every recipient. `match.all`
---@field all_of fun(matchers: any): postern.matcher Recipients that every part selects. `match.all_of { match.sender_is_null, match.size_over "1 MiB" }`
---@field any_of fun(matchers: any): postern.matcher Recipients that at least one part selects. `match.any_of { match.user_is "abuse", match.user_is "security" }`
---@field at_most fun(count: integer, name?: string): postern.matcher All, for the first n mails that pass the named counter, then none. `match.at_most(10, "probe")`
---@field attachment_name_is fun(arguments: postern.match.attachment_name_is.arguments|string|string[]): postern.matcher All, if the file name of a part, attached or shown inline, fits one of these masks; case does not count. `match.attachment_name_is { "*.exe", "*.js", inside_zip = true }`
---@field compare_numeric_header fun(name: string, comparison: string, bound: number): postern.matcher All, if the number at the start of a field compares so. `match.compare_numeric_header("X-Spam-Score", ">=", 5)`
---@field delivery_failed postern.matcher|fun(arguments?: postern.match.delivery_failed.arguments): postern.matcher All, if the mail is a report of our queue about recipients that it gave up, for one of these reasons. `match.delivery_failed { permanent = true, code = { "5.1.1", "5.2" } }`
---@field has_attachment postern.matcher All, if a part, at any depth, is an attachment: by its disposition, or by a name on what is no text. `match.has_attachment`
---@field has_header fun(name: string, value?: string): postern.matcher All, if the header has this field, with this value if one is given. `match.has_header("X-Loop", "us")`
---@field has_mime_type fun(types: string|string[]): postern.matcher All, if the message's own Content-Type is one of these; "image/*" takes a family. `match.has_mime_type "multipart/report"`
---@field has_mime_type_any_part fun(types: string|string[]): postern.matcher All, if the message or a part in it, at any depth, is of one of these types. `match.has_mime_type_any_part { "application/pdf", "image/*" }`
---@field has_note fun(name: string, value?: any): postern.matcher Recipients with a note of theirs, of the mail or of the session, with this value if one is given. `match.has_note("spam_score", 5)`
---@field has_priority postern.matcher|fun(arguments?: postern.match.has_priority.arguments|integer): postern.matcher All, if the mail's priority in the queue is this, or in these bounds. `match.has_priority { at_least = 3 }`
---@field host_is_local postern.matcher Recipients whose domain is ours; the mailbox need not exist. `match.host_is_local`
---@field in_dnsbl fun(arguments: postern.match.in_dnsbl.arguments|any): postern.matcher All, if a DNS list names the client's address. `match.in_dnsbl "bl.example.net"`
---@field is_in_drop_list postern.matcher|fun(arguments?: postern.match.is_in_drop_list.arguments): postern.matcher Recipients who take no mail from this sender: they, their domain, or everybody here. Never a report's null sender. `match.is_in_drop_list { ["bob@example.org"] = { "ex@example.net", "@spam.example" }, ["*"] = "@bad.example" }`
---@field is_marked_as_spam postern.matcher Recipients for whom our own note `spam` is true; header fields that came with the mail do not count. `match.is_marked_as_spam`
---@field is_single_recipient postern.matcher All, if the mail has exactly one recipient. `match.is_single_recipient`
---@field is_smime_encrypted postern.matcher All, if the message says that it is encrypted by S/MIME, in its parameter smime-type. `match.is_smime_encrypted`
---@field is_smime_signed postern.matcher All, if the message says that it is signed by S/MIME; the signature is not checked. `match.is_smime_signed`
---@field none_of fun(matchers: any): postern.matcher Recipients that no part selects. `match.none_of { match.smtp_auth_successful }`
---@field recipient_count_exceeds fun(count: integer): postern.matcher All, if the mail has more recipients than this. `match.recipient_count_exceeds(50)`
---@field recipient_domain_is fun(domains: any): postern.matcher Recipients in one of these domains, not below them. `match.recipient_domain_is { "example.org", "example.net" }`
---@field recipient_is fun(addresses: any): postern.matcher Recipients with one of these addresses; case does not count. `match.recipient_is("list@example.org")`
---@field recipient_is_local postern.matcher Recipients with a mailbox here, and postmaster. `match.recipient_is_local`
---@field recipient_is_regex fun(pattern: string): postern.matcher Recipients whose whole address fits a pattern (RE2). `match.recipient_is_regex(".*-noreply@example\\.org")`
---@field relay_allowed postern.matcher Recipients that the relay gate lets out: our users', named networks', relay domains. `match.relay_allowed`
---@field relay_limit fun(count: integer): postern.matcher All, if the mail has at least this many Received fields: the loop guard (RFC 5321 section 6.3). `match.relay_limit(100)`
---@field remote_addr_in_network fun(networks: any): postern.matcher All, if the client's address is in one of these networks. `match.remote_addr_in_network { "192.0.2.0/24", "2001:db8::/32" }`
---@field remote_addr_not_in_network postern.matcher|fun(networks?: any): postern.matcher All, if the client's address is in none of these networks; an empty list selects everyone. `match.remote_addr_not_in_network { "192.0.2.0/24" }`
---@field sender_domain_is fun(domains: any): postern.matcher All, if the sender's domain is one of these. `match.sender_domain_is "example.org"`
---@field sender_host_is_local postern.matcher All, if the sender's domain is ours. `match.sender_host_is_local`
---@field sender_in_fake_domain postern.matcher All, if the sender's domain has neither MX nor address, or a null MX. `match.sender_in_fake_domain`
---@field sender_is fun(addresses: any): postern.matcher All, if the envelope sender is one of these; case does not count. `match.sender_is("boss@example.org")`
---@field sender_is_local postern.matcher All, if the sender is an account or alias of ours. `match.sender_is_local`
---@field sender_is_null postern.matcher All, if the mail is a bounce: MAIL FROM:<>. `match.sender_is_null`
---@field sender_is_regex fun(pattern: string): postern.matcher All, if the whole sender address fits a pattern (RE2). `match.sender_is_regex("bounce-.*@.*")`
---@field sent_by_mailet postern.matcher All, if this server made the mail itself: a report about mail of its queue, or what a rule brought in. `match.sent_by_mailet`
---@field size_over fun(size: string|integer): postern.matcher All, if the message is larger. `match.size_over "25 MiB"`
---@field smtp_auth_successful postern.matcher All, if the client has logged in. `match.smtp_auth_successful`
---@field smtp_auth_user_is fun(users: any): postern.matcher All, if the client has logged in as one of these accounts. `match.smtp_auth_user_is("robot")`
---@field smtp_is_auth_network postern.matcher All, if the client is in a network that may relay. `match.smtp_is_auth_network`
---@field subject_is fun(text: string): postern.matcher All, if the decoded subject is this. `match.subject_is "subscribe"`
---@field subject_starts_with fun(text: string): postern.matcher All, if the decoded subject begins so; case does not count. `match.subject_starts_with "[ticket"`
---@field tls_is postern.matcher|fun(versions?: string|string[]): postern.matcher All, if the session uses TLS, of one of these versions if any are named. `match.tls_is "TLSv1.3"`
---@field user_is fun(users: string|string[]): postern.matcher Recipients whose local part is one of these; case does not count. `match.user_is { "abuse", "postmaster" }`

---@class postern.act.add_footer.arguments
---@field [1] string for plain texts, and for HTML unless html is given
---@field html? string for HTML, before the end of its body

---@class postern.act.deliver.arguments
---@field [1] string mailbox; the recipient's note "folder", else INBOX, unless given
---@field flags? string|string[] flags and keywords that the mail gets

---@class postern.act.forward.arguments
---@field [1] any where it goes; a mail that comes of it is not forwarded there again
---@field keep? boolean whether the recipients get the mail, too; false unless given

---@class postern.act.http_post.arguments
---@field [1] string where
---@field send? string headers or message; headers unless given
---@field limit? string|integer a message that is larger is not shown; 10 MiB, the most, unless given
---@field timeout? string|integer for all of it, within [pipeline] time_limit; 10s unless given
---@field note? string a note of the mail that gets the status

---@class postern.act.notes_to_headers.arguments
---@field notes? any field by note

---@class postern.act.notify_postmaster.arguments
---@field [1] string what happened; sender, recipients and subject of the mail follow it
---@field subject? string of the notice
---@field note? string a note of the mail whose text is added: the error that a rule before this one kept
---@field attach? string none, header or message (up to 1 MiB, else its header); header unless given
---@field from? any whom it is from; postmaster of the default domain unless given
---@field from_name? string the name before that address; "Mail server" unless given
---@field to? any who is told; postmaster of the default domain unless given

---@class postern.act.notify_sender.arguments
---@field [1] string what happened; sender, recipients and subject of the mail follow it
---@field subject? string of the notice
---@field note? string a note of the mail whose text is added: the error that a rule before this one kept
---@field attach? string none, header or message (up to 1 MiB, else its header); header unless given
---@field from? any whom it is from; postmaster of the default domain unless given
---@field from_name? string the name before that address; "Mail server" unless given
---@field strangers? boolean whether senders who neither logged in nor came from a relay network are told, too. Only behind a matcher that has checked the sender (SPF, DKIM): else notices reach people whose name was used; false unless given

---@class postern.act.rate_limit.arguments
---@field per string whose rate: sender, user (logged in), client (address, IPv6 by /64) or all
---@field count integer the most that pass in a window, up to 1,000,000
---@field window string|integer from 1s to 31d; seconds, or a text with a unit
---@field of? string what is counted: mails or recipients (a mail of more than `count` never passes); mails unless given
---@field excess? string the pipeline where more than that go
---@field name? string keeps limits of the same per, of and window apart; rules with one name share it

---@class postern.act.redirect.arguments
---@field to any where it goes
---@field from? any the From field; a Sender field goes
---@field reply_to? any the Reply-To field
---@field sender? any the envelope's sender, who hears of failures; unless given, the mail's
---@field prefix? string put before the subject, unless it is there
---@field to_header? boolean whether To names the new recipients, and Cc goes; false unless given
---@field keep? boolean whether the recipients get the mail, too; false unless given

---@class postern.act.relay.arguments
---@field gateway? any send there instead of to the domain's MX
---@field tls? string none, opportunistic, may, encrypt, verify, dane, mta-sts, dane-or-mta-sts-or-opportunistic
---@field source? any address to connect from

---@class postern.act.replace_content.arguments
---@field subject? any pattern and with (\1 is the first group), or a list of such tables
---@field text? any the same, for plain texts
---@field html? any the same, for the source of HTML

---@class postern.act.resend.arguments
---@field [1] any where it goes
---@field sender? any who resends it: the envelope's sender and Resent-From; unless given, the mail's sender stays and Resent-From is postmaster
---@field keep? boolean whether the recipients get the mail, too; false unless given

---@class postern.act.rewrite.arguments
---@field map? any address by address, or by @domain; @domain by @domain keeps the local part

---@class postern.act.split.arguments
---@field [1] integer recipients of a batch, of those that the rule runs for
---@field pause? string|integer between two batches, from 1s to 1d; 1m unless given. The last one goes within a day

---@class postern.act.strip_attachment.arguments
---@field [1] string|string[] names; * is any run of characters, ? is one; shown inline or attached
---@field types? string|string[] types; "image/*" takes a family
---@field text? string what stands there instead; %s is the name
---@field note? string a note of the mail that gets the names of what went

---@class postern.act.vacation.arguments
---@field [1] string the answer. A recipient's note "vacation" with a text goes before it: without either there is no answer
---@field subject? string of the answer; "Auto:" and the mail's subject unless given
---@field days? integer from 1 to 365: how long a sender is not answered again; 7 unless given
---@field addresses? any further addresses of the recipients: the mail's To or Cc must name one of them, or the recipient
---@field from? any whom the answer is from; the recipient unless given
---@field from_name? string the name before that address

---@class postern.act
---@field add_delivered_to postern.action Gives each recipient's copy a Delivered-To field with its address. `act.add_delivered_to`
---@field add_footer fun(arguments: postern.act.add_footer.arguments|string): postern.action Puts a text under the texts of the mail: plain and HTML, of alternatives each, in their charset (UTF-8 where that has no room for it) and transfer encoding. `act.add_footer { text = "Example Inc.", html = "<p>Example Inc.</p>" }`
---@field bounce fun(enhanced: string, text: string): postern.action Refuses: 550 (or 450 for a 4.x.x code) while the session waits, else a report to the sender. `act.bounce("5.7.1", "not accepted")`
---@field classify_bounce postern.action|fun(note?: string): postern.action Notes whether a delivery report (RFC 3464) is about a `hard` failure or a `soft` one that may pass. `act.classify_bounce`
---@field convert_to_7bit postern.action Encodes what is 8-bit or binary, so that every server can take the mail (RFC 6152 section 3). `act.convert_to_7bit`
---@field copy_to fun(to: any): postern.action Sends a copy of the mail as it is here to these addresses, and goes on. `act.copy_to "archive@example.org"`
---@field count fun(name: string, by?: integer): postern.action Adds one to a counter of the metrics. `act.count "archived"`
---@field defer fun(code: integer, enhanced: string, text: string): postern.action Refuses for now; the client tries again. `act.defer(451, "4.7.1", "come back later")`
---@field deliver postern.action|fun(arguments?: postern.act.deliver.arguments|string): postern.action Delivers to the recipients' mailboxes here. `act.deliver { folder = "Junk" }`
---@field discard fun(reason: string): postern.action Ends the mail without delivering it; the trail keeps the reason. `act.discard "honeypot"`
---@field forward fun(arguments: postern.act.forward.arguments|any): postern.action Sends the mail to these addresses instead of the recipients: unchanged, with its sender, through all pipelines. `act.forward { "bob@example.net", keep = true }`
---@field go fun(pipeline: string): postern.action Goes on in another pipeline. `act.go "local"`
---@field hold fun(duration: string|integer): postern.action Delays what the following rules decide. `act.hold "10m"`
---@field http_post fun(arguments: postern.act.http_post.arguments|string): postern.action Posts the mail's header, or all of it, to a service, and goes on. Sender and recipients are in X-Postern-Sender and X-Postern-Recipients. `act.http_post { url = "https://hooks.example.net/mail", send = "message" }`
---@field log fun(text: string, level?: string): postern.action Writes a line to the log. `act.log("seen")`
---@field lower_case_recipient postern.action Turns the local parts of our own addresses to lower case. `act.lower_case_recipient`
---@field notes_to_headers postern.action|fun(arguments?: postern.act.notes_to_headers.arguments): postern.action Writes notes of the mail as header fields. `act.notes_to_headers { spam_score = "X-Spam-Score" }`
---@field notify_postmaster fun(arguments: postern.act.notify_postmaster.arguments|string): postern.action Tells the postmaster, or whom you name, about the mail, and goes on. `act.notify_postmaster { text = "A virus came in.", attach = "header" }`
---@field notify_sender fun(arguments: postern.act.notify_sender.arguments|string): postern.action Tells the sender about the mail, and goes on. Never with a null sender, mail of lists and programs, or a stranger. `act.notify_sender { text = "Your mail waits for a moderator." }`
---@field only_text postern.action Leaves of the mail its plain text, as it is encoded; its HTML where it has no plain text. `act.only_text`
---@field postmaster_alias fun(address: any): postern.action Gives the mail for postmaster at every domain of ours to one account. `act.postmaster_alias "admin@example.org"`
---@field priority fun(priority: integer): postern.action Gives the mail a priority among those that wait for a connection, and with the next server (RFC 6710). `act.priority(-3)`
---@field quarantine fun(reason: string): postern.action Keeps the mail for an operator. `act.quarantine "looks like malware"`
---@field rate_limit fun(arguments: postern.act.rate_limit.arguments): postern.action Lets so many pass in a window of time; more are deferred, or go to another pipeline. `act.rate_limit { per = "user", count = 200, window = "1h", of = "recipients" }`
---@field redirect fun(arguments: postern.act.redirect.arguments): postern.action Sends the mail on to these addresses with another face, as a list does. `act.redirect { to = "team@example.org", prefix = "[team]", reply_to = "team@example.org" }`
---@field reject fun(code: integer, enhanced: string, text: string): postern.action Refuses for good. `act.reject(554, "5.7.1", "not accepted")`
---@field relay postern.action|fun(arguments?: postern.act.relay.arguments): postern.action Sends on to the recipients' domains. `act.relay { tls = "dane" }`
---@field remove_header fun(names: string|string[]): postern.action Takes all fields of these names out. `act.remove_header "Bcc"`
---@field remove_header_prefix fun(prefix: string): postern.action Takes all fields out whose names begin so. `act.remove_header_prefix "X-Spam-"`
---@field remove_note fun(names: string|string[]): postern.action Forgets notes. `act.remove_note "spam"`
---@field replace_content postern.action|fun(arguments?: postern.act.replace_content.arguments): postern.action Replaces what fits a pattern (RE2) in the subject and in the texts of the mail. `act.replace_content { subject = { pattern = "(?i)\\[spam\\] *", with = "" } }`
---@field require_message_id postern.action Adds a Message-ID where there is none (RFC 6409 section 8.3). `act.require_message_id`
---@field resend fun(arguments: postern.act.resend.arguments|any): postern.action Sends the mail on to these addresses with Resent-* fields (RFC 5322 section 3.6.6). `act.resend { "desk@example.org", sender = "desk@example.org" }`
---@field rewrite postern.action|fun(arguments?: postern.act.rewrite.arguments): postern.action Gives recipients other addresses of ours, by address or by domain, until none fits any more. `act.rewrite { ["info@example.org"] = "bob@example.org", ["@old.example"] = "@example.org" }`
---@field set_header fun(name: string, value: string): postern.action Gives the header one field of this name, in place of all that it had. `act.set_header("X-Checked", "yes")`
---@field set_note fun(name: string, value?: any): postern.action Sets a note, for later rules. `act.set_note("spam", true)`
---@field split fun(arguments: postern.act.split.arguments|integer): postern.action Sends to many recipients in batches, the first now and each other one a while later; goes on. `act.split { 100, pause = "5m" }`
---@field strip_attachment postern.action|fun(arguments?: postern.act.strip_attachment.arguments|string|string[]): postern.action Puts a text in the place of attachments, by name or by type; all unless any are named. `act.strip_attachment { "*.exe", "*.js", note = "stripped" }`
---@field sub_addressing postern.action|fun(delimiters?: string): postern.action Delivers user+folder to that folder, where a later `deliver` names none (RFC 5233). `act.sub_addressing`
---@field subject_prefix fun(text: string): postern.action Puts a text before the subject, unless it is there. `act.subject_prefix "[external]"`
---@field unwrap postern.action Joins the lines of plain texts that came as format=flowed. `act.unwrap`
---@field vacation postern.action|fun(arguments?: postern.act.vacation.arguments|string): postern.action Answers the sender for recipients who are away, once in some days, as RFC 3834 wants; goes on. Put it behind what keeps spam away. `act.vacation { text = "I am back on Monday.", days = 7 }`
---@field wrap postern.action|fun(columns?: integer): postern.action Breaks long lines of plain texts so that readers can join them (format=flowed, RFC 3676). `act.wrap(76)`

---What scripts are made of: `local postern = require "postern"`.
---@class postern
---@field match postern.match # the matchers; only while scripts are loaded
---@field act postern.act # the mailets; only while scripts are loaded
---@field pipeline fun(name: string, rules?: postern.rule[]): fun(rules: postern.rule[]) # declares a pipeline; every mail begins in "root"
---@field on postern.on # declares a hook
---@field waive fun(code: string, reason: string) # silences a lint of `postern check`
---@field all fun(functions: table<any, function>): table<any, any>, table<any, any> # runs functions at once: their first results and their errors, by key
---@field accept postern.verdict # ends the hooks of this stage well
---@field reject fun(code: integer, enhanced: string, text?: string): postern.verdict # refuses for good: 5xx
---@field defer fun(code: integer, enhanced: string, text?: string): postern.verdict # refuses for now: 4xx
---@field disconnect fun(code: integer, enhanced: string, text?: string): postern.verdict # refuses and ends the session
---@field discard fun(reason: string): postern.verdict # accepts, and delivers to nobody; traced with its reason
---@field quarantine fun(reason: string): postern.verdict # keeps the mail for an operator
---@field hold fun(duration: string|integer, reason?: string): postern.verdict # keeps the mail a while: "10m", or seconds; postern queue show tells the reason
---@field ip fun(text: string): postern.ip? # an IP address; nil for what is none
---@field random fun(low?: integer, high?: integer): number # [0, 1), or a whole number within bounds
---@field counter fun(name: string, by?: integer) # counts in the metrics
---@field dns postern.dns # questions to the DNS
---@field log postern.log # lines in the log
---@field clock postern.clock # the time
---@field http postern.http # requests over HTTP
---@field sql postern.sql # questions to databases
---@field kv postern.kv # counts and values that outlive a mail
---@field directory postern.directory # accounts, aliases and domains
---@field secret fun(value: any): any # the value, as <secret> in the trail
---@field re fun(pattern: string, flags?: string): postern.regex # a regular expression (RE2); make it at the top of the script
---@field ipset postern.ipset_maker # a set of addresses and networks
---@field domainset postern.domainset_maker # a set of domains
---@field map postern.map # tables out of files
---@field json postern.json # RFC 8259
---@field base64 postern.base64 # RFC 4648
---@field hex postern.hex # hexadecimal
---@field hash postern.hash # hashes
---@field time postern.time # dates as texts
local postern = {}
return postern
