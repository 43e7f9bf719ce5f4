import imaplib
import poplib
import smtplib
import ssl
import sys

host, port, user, password = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
imap_port, smtp_port, authority = int(sys.argv[5]), int(sys.argv[6]), sys.argv[7]
trusting = ssl.create_default_context(cafile=authority)
strict = getattr(ssl, "VERIFY_X509_STRICT", 0)
trusting.verify_flags |= strict


def pop3(session):
    session.user(user)
    session.pass_(password)
    assert session.stat()[0] == 1
    session.quit()


def imap(session):
    session.login(user, password)
    assert session.select("INBOX") == ("OK", [b"1"])
    session.logout()


def smtp(session):
    session.login(user, password)
    assert session.sendmail(user, ["grace@example.test"], b"Subject: by TLS\r\n\r\nx\r\n") == {}
    session.quit()


for name in ("localhost", "127.0.0.1"):
    session = poplib.POP3(name, port, timeout=60)
    session.stls(context=trusting)
    pop3(session)
    pop3(poplib.POP3_SSL(name, port, timeout=60, context=trusting))

    session = imaplib.IMAP4(name, imap_port, timeout=60)
    session.starttls(ssl_context=trusting)
    imap(session)
    imap(imaplib.IMAP4_SSL(name, imap_port, timeout=60, ssl_context=trusting))

    session = smtplib.SMTP(name, smtp_port, timeout=60)
    session.starttls(context=trusting)
    smtp(session)
    smtp(smtplib.SMTP_SSL(name, smtp_port, timeout=60, context=trusting))

# No password without TLS.
session = imaplib.IMAP4(host, imap_port, timeout=60)
assert "LOGINDISABLED" in session.capabilities, session.capabilities
for attempt in (
    lambda: poplib.POP3(host, port, timeout=60).user(user),
    lambda: session.login(user, password),
    lambda: smtplib.SMTP(host, smtp_port, timeout=60).login(user, password),
):
    try:
        attempt()
        raise AssertionError("a password is taken without TLS")
    except (poplib.error_proto, imaplib.IMAP4.error, smtplib.SMTPException):
        pass

# An app that does not know the authority refuses.
try:
    poplib.POP3_SSL(host, port, timeout=60, context=ssl.create_default_context())
    raise AssertionError("a certificate of nobody is taken")
except ssl.SSLCertVerificationError:
    pass
