"""Rules while mail is under way: a hook chooses the route, puts an attempt off, and hears how it ended."""
import unittest

from postern import HOST, Server, letter, main, wait_until
from test_relay_out import Sink

SCRIPT = """
local postern = require "postern"
local match, act = postern.match, postern.act
postern.pipeline "root" {{
  {{ when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") }},
  {{ when = match.recipient_is_local, act.deliver {{ folder = "INBOX" }} }},
  {{ act.relay() }},
}}
postern.on("route", function(mail, event)
  if event.destination == "far.test" then event.gateway = "[{host}]:{port}" end
end)
postern.on("attempt", function(mail, event)
  if mail.recipients[1].user == "later" and event.attempts == 0 then return postern.defer(451, "4.7.1", "not yet") end
end)
for _, stage in ipairs {{ "queued", "delivered", "deferred", "bounced" }} do
  postern.on(stage, function(mail, event)
    local reply = event.reply
    postern.log.info(stage .. " " .. mail.recipients[1].address .. (reply and " " .. reply.code .. " " .. reply.text or ""))
  end)
end
"""

SETTINGS = '[queue]\nretry = "1s"\n'


class QueueHooks(unittest.TestCase):
    def setUp(self):
        self.sink = Sink()
        self.addCleanup(self.sink.close)
        self.server = self.enterContext(Server(SETTINGS, script=SCRIPT.format(host=HOST, port=self.sink.port)))

    def told(self, text):
        self.server.wait_log(text)

    def test_a_route_comes_from_a_script_and_the_end_is_told(self):
        self.sink.refuse["bad@far.test"] = "550 5.1.1 nobody"
        self.server.submit("alice", "ann@far.test", letter(to="ann@far.test"))
        self.server.submit("alice", "bad@far.test", letter(to="bad@far.test"))
        self.server.submit("alice", "bob@example.test", letter(to="bob@example.test"))
        self.server.wait_queue_empty()
        self.assertEqual([one for _, one, _ in self.sink.mails], [("ann@far.test",)])
        for text in ("queued ann@far.test", "delivered ann@far.test 250", "bounced bad@far.test 550 nobody", "delivered bob@example.test 250"):
            self.told(text)
        wait_until(lambda: self.server.mail("alice"), "the report about bad@")
        self.server.story("ann@far.test", HOST)

    def test_an_attempt_is_put_off(self):
        self.server.submit("alice", "later@far.test", letter(to="later@far.test"))
        self.told("deferred later@far.test 451 not yet")
        self.server.wait_queue_empty()
        self.assertEqual([one for _, one, _ in self.sink.mails], [("later@far.test",)])

    def test_a_hook_that_fails_puts_its_mail_off_and_loses_nothing(self):
        broken = SCRIPT.format(host=HOST, port=self.sink.port).replace("if event.destination", 'error "oops"\n  if event.destination')
        self.server.write(script=broken)
        self.assertEqual(self.server.run("reload", check=False).returncode, 0)
        self.server.submit("alice", "ann@far.test", letter(to="ann@far.test"))
        self.told("oops")
        self.assertEqual(self.sink.mails, [])
        self.server.write(script=SCRIPT.format(host=HOST, port=self.sink.port))
        self.server.run("reload")
        self.server.wait_queue_empty()
        self.assertEqual([one for _, one, _ in self.sink.mails], [("ann@far.test",)])


if __name__ == "__main__":
    main()
