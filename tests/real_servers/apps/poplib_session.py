import poplib
import sys

host, port, user, password = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]


def login():
    session = poplib.POP3(host, port, timeout=30)
    session.user(user)
    session.pass_(password)
    return session


session = login()
capabilities = session.capa()
assert "UIDL" in capabilities and "TOP" in capabilities, capabilities
count, octets = session.stat()
assert count == 5, count
sizes = [int(line.split()[1]) for line in session.list()[1]]
assert sum(sizes) == octets, (sizes, octets)
ids = [line.split()[1] for line in session.uidl()[1]]
assert len(set(ids)) == 5, ids
for number in range(1, 6):
    lines = session.retr(number)[1]
    assert lines == [b"Subject: number %d" % number, b"", b".line %d" % number, b"second"], lines
    assert sum(len(line) + 2 for line in lines) == sizes[number - 1]
assert session.top(2, 1)[1] == [b"Subject: number 2", b"", b".line 2"]
session.noop()
session.dele(1)
session.rset()
session.dele(2)
session.dele(5)
assert session.stat()[0] == 3
for refused in (lambda: session.dele(2), lambda: session.retr(5), lambda: session.list(6)):
    try:
        refused()
        raise AssertionError("not refused")
    except poplib.error_proto:
        pass
session.quit()

session = login()
assert [line.split()[1] for line in session.uidl()[1]] == [ids[0], ids[2], ids[3]]
session.quit()
