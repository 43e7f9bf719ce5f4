import smtplib
import sys
from email.message import EmailMessage

host, port, user, password = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]


def message(subject, text):
    made = EmailMessage()
    made["X-Begin"] = "here"
    made["From"] = user
    made["To"] = "bob@example.test"
    made["Date"] = "Wed, 25 Nov 2026 12:00:00 +0000"
    made["Message-ID"] = "<%s@example.test>" % subject
    made["Subject"] = subject
    made.set_content(text)
    return made


def send(mechanism, octets, recipients):
    session = smtplib.SMTP(host, port, timeout=60)
    session.ehlo()
    assert session.has_extn("pipelining") and session.has_extn("size")
    session.user, session.password = user, password
    session.auth(mechanism, getattr(session, "auth_" + mechanism.lower()))
    refused = session.sendmail(user, recipients, octets, ["BODY=8BITMIME"])
    session.quit()
    # What arrived without the header that the test looks for.
    sys.stdout.buffer.write(octets.split(b"X-Begin: here\r\n", 1)[1] + b"=====\n")
    return refused


attached = message("attached", "an attachment\n.\n..\n")
attached.add_attachment(bytes(range(256)) * 4000, maintype="application", subtype="octet-stream", filename="all")
assert send("PLAIN", attached.as_bytes().replace(b"\n", b"\r\n"), ["bob@example.test"]) == {}

eight_bit = message("8-bit", "x").as_bytes().replace(b"\n", b"\r\n").split(b"\r\n\r\n")[0]
refused = send("LOGIN", eight_bit + b"\r\n\r\n\xe4\xf6\xfc .\r\n.x\r\n" + b"y" * 900 + b"\r\n", ["bob@example.test", "unknown@example.test"])
assert refused["unknown@example.test"][0] == 550, refused

assert send("PLAIN", eight_bit + b"\r\n\r\nplain\r\n", ["bob@example.test"]) == {}

session = smtplib.SMTP(host, port, timeout=60)
try:
    session.login(user, "wrong")
    raise AssertionError("a wrong password is not refused")
except smtplib.SMTPAuthenticationError as error:
    assert error.smtp_code == 535, error
session.quit()
