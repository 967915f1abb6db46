"""Sends one message from the first account to the second through submission with TLS and AUTH, reads it back over POP3
with TLS, and prints both dialogues. Exit status 0 when it came back whole. Standard library only."""
import argparse
import poplib
import smtplib
import ssl
import sys
import time
import uuid

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--passwords", required=True, help="file with lines 'address password'")
parser.add_argument("--submission", type=int, required=True)
parser.add_argument("--pop3", type=int, required=True)
options = parser.parse_args()
accounts = [line.split() for line in open(options.passwords)]
(sender, sender_password), (recipient, recipient_password) = accounts[0], accounts[1]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE  # the demonstration certificate is self-signed
token = uuid.uuid4().hex


def shown(text):
    """A line of dialogue, without the secrets in it."""
    return "AUTH PLAIN ..." if text.upper().startswith("AUTH ") else "PASS ..." if text.startswith("PASS") else text


class Smtp(smtplib.SMTP):
    def putcmd(self, cmd, args=""):
        print("C:", shown(f"{cmd} {args}".strip()))
        super().putcmd(cmd, args)

    def getreply(self):
        code, text = super().getreply()
        for line in text.decode().split("\n"):
            print("S:", code, line)
        return code, text


class Pop(poplib.POP3):
    def _putcmd(self, line):
        print("C:", shown(line))
        super()._putcmd(line)

    def _getresp(self):
        answer = super()._getresp()
        print("S:", answer.decode())
        return answer


print("--- submission")
with Smtp("127.0.0.1", options.submission, timeout=30) as smtp:
    smtp.ehlo("client.example.test")
    smtp.starttls(context=context)
    smtp.ehlo("client.example.test")
    smtp.login(sender, sender_password)
    smtp.sendmail(sender, [recipient], f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: check {token}\r\n\r\nIt works.\r\n.dot\r\n")

print("--- POP3")
for attempt in range(50):
    pop = Pop("127.0.0.1", options.pop3, timeout=30)
    pop.stls(context)
    pop.user(recipient)
    pop.pass_(recipient_password)
    if pop.stat()[0]:
        break
    pop.quit()
    time.sleep(0.1)
else:
    sys.exit("the message never arrived")
message = b"\r\n".join(pop.retr(1)[1]).decode()
pop.dele(1)
pop.quit()
print(message)
for wanted in (f"Subject: check {token}", "It works.", "\r\n.dot", "Received: from client.example.test", "Return-Path: <" + sender + ">", "Message-ID:", "Date:"):
    if wanted.lower() not in message.lower():
        sys.exit(f"the message came back without {wanted!r}")
