import imaplib
import sys

host, port, user, password = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]


def ok(result):
    assert result[0] == "OK", result
    return result[1]


session = imaplib.IMAP4(host, port, timeout=30)
assert "AUTH=PLAIN" in session.capabilities, session.capabilities
session.login(user, password)
for forbidden in ("STARTTLS", "LOGINDISABLED", "COMPRESS=DEFLATE"):
    assert forbidden not in session.capabilities
ok(session.create('"Entw&APw-rfe"'))
assert any(b"Entw&APw-rfe" in line for line in ok(session.list()))
messages = [
    b"Subject: one\r\n\r\nfirst\r\n",
    b"Subject: two\r\n\r\n8-bit \xe4\xff\r\n",
    b"Subject: three\r\n\r\nno line end",
]
for message in messages:
    ok(session.append("INBOX", r"(\Flagged)", None, message))
assert ok(session.select("INBOX")) == [b"3"]
for number, message in enumerate(messages, 1):
    parts = ok(session.fetch(str(number), "(UID FLAGS BODY.PEEK[])"))
    assert parts[0][1] == message, parts
    assert rb"\Flagged" in parts[0][0] + parts[1], parts
assert ok(session.search(None, "SUBJECT", '"two"')) == [b"2"]
ok(session.uid("COPY", "3", '"Entw&APw-rfe"'))
ok(session.store("1,3", "+FLAGS", r"(\Deleted)"))
assert len(ok(session.expunge())) == 2
assert session.noop()[0] == "OK"
ok(session.close())
assert session.logout()[0] == "BYE"

session = imaplib.IMAP4(host, port, timeout=30)
session.authenticate("PLAIN", lambda _: b"\0" + user.encode() + b"\0" + password.encode())
assert ok(session.select("INBOX")) == [b"1"]
session.logout()

session = imaplib.IMAP4(host, port, timeout=30)
try:
    session.login(user, "wrong")
    raise AssertionError("a wrong password is not refused")
except imaplib.IMAP4.error as error:
    assert "AUTHENTICATIONFAILED" in str(error), error
session.login(user, password)
session.logout()
