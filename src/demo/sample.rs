//! The mail the demo begins with: short, made up, and of each kind that mail programs stumble over.

use chrono::{DateTime, FixedOffset, TimeDelta};
use imap_codec::imap_types::flag::Flag;

use super::ADDRESS;
use super::mailbox::{Refusal, Store};

/// Folders by name and special use.
const FOLDERS: [(&str, Option<&str>); 8] = [
    ("INBOX", None),
    ("Sent", Some("\\Sent")),
    ("Drafts", Some("\\Drafts")),
    ("Archive", Some("\\Archive")),
    ("Junk", Some("\\Junk")),
    ("Trash", Some("\\Trash")),
    ("Projects", None),
    ("Projects/Garten &- Hof", None),
];

/// One message of the sample: where, how many hours ago, with which flags.
struct Sample {
    folder: &'static str,
    hours: i64,
    flags: &'static [Flag<'static>],
    /// `{date}` and `{demo}` are put in; line ends are made CRLF.
    text: &'static str,
}

/// Folders and mail, dated back from `now`.
pub(super) fn store(now: DateTime<FixedOffset>) -> Result<Store, Refusal> {
    let mut store = Store::default();
    for (name, role) in FOLDERS {
        store.create(name, role)?;
    }
    for sample in SAMPLES {
        let date = now - TimeDelta::hours(sample.hours);
        let text = sample.text.replace("{date}", &date.to_rfc2822()).replace("{demo}", ADDRESS);
        let octets = text.replace('\n', "\r\n").into_bytes();
        store.add(sample.folder, octets.into(), sample.flags.to_vec(), date)?;
    }
    Ok(store)
}

const SAMPLES: [Sample; 10] = [
    Sample { folder: "INBOX", hours: 75, flags: &[Flag::Seen], text: THREAD_1 },
    Sample { folder: "INBOX", hours: 50, flags: &[Flag::Seen, Flag::Answered], text: THREAD_2 },
    Sample { folder: "Sent", hours: 49, flags: &[Flag::Seen], text: THREAD_3 },
    Sample { folder: "INBOX", hours: 30, flags: &[Flag::Seen, Flag::Flagged], text: ATTACHMENT },
    Sample { folder: "INBOX", hours: 6, flags: &[], text: NEWSLETTER },
    Sample { folder: "INBOX", hours: 2, flags: &[], text: DOTS },
    Sample { folder: "Drafts", hours: 20, flags: &[Flag::Draft, Flag::Seen], text: DRAFT },
    Sample { folder: "Junk", hours: 9, flags: &[], text: JUNK },
    Sample { folder: "Archive", hours: 900, flags: &[Flag::Seen], text: FORWARDED },
    Sample { folder: "Projects/Garten &- Hof", hours: 200, flags: &[Flag::Seen], text: LATIN },
];

const THREAD_1: &str = "\
From: Ines Marin <ines@garden.example>
To: {demo}
Subject: The apple tree
Date: {date}
Message-ID: <tree-1@garden.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=us-ascii

Hello,

the old apple tree leans towards the fence. Shall I come on Saturday with the
saw, or do we give it another summer?

Ines
";

const THREAD_2: &str = "\
From: =?utf-8?Q?J=C3=B6rg_Gro=C3=9F?= <joerg@garden.example>
To: Ines Marin <ines@garden.example>, {demo}
Subject: Re: The apple tree
Date: {date}
Message-ID: <tree-2@garden.example>
In-Reply-To: <tree-1@garden.example>
References: <tree-1@garden.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8; format=flowed
Content-Transfer-Encoding: quoted-printable

> Shall I come on Saturday with the saw

Bitte nicht! Er tr=C3=A4gt noch, und die V=C3=B6gel m=C3=B6gen ihn. Two ropes and =
a post will do.

J=C3=B6rg
";

const THREAD_3: &str = "\
From: {demo}
To: =?utf-8?Q?J=C3=B6rg_Gro=C3=9F?= <joerg@garden.example>
Cc: Ines Marin <ines@garden.example>
Subject: Re: The apple tree
Date: {date}
Message-ID: <tree-3@footbridge.test>
In-Reply-To: <tree-2@garden.example>
References: <tree-1@garden.example> <tree-2@garden.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=us-ascii

A rope it is. I bring the post.
";

const ATTACHMENT: &str = "\
From: \"Hansen, Office\" <office@printer.example>
To: {demo}
Subject: Scan of your invoice
Date: {date}
Message-ID: <scan-20@printer.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=\"scan\"

This is a message in MIME format.
--scan
Content-Type: text/plain; charset=us-ascii

One page, sent by the scanner on the second floor.
--scan
Content-Type: image/png; name=\"scan 20.png\"
Content-Disposition: attachment; filename=\"scan 20.png\"
Content-Transfer-Encoding: base64

iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9
awAAAABJRU5ErkJggg==
--scan--
";

const NEWSLETTER: &str = "\
From: Foot & Bridge Weekly <weekly@walks.example>
To: {demo}
Subject: =?utf-8?B?V2Fsa3MgZm9yIHRoZSB3ZWVrZW5kIOKAkyBicmlkZ2VzIPCfjIk=?=
Date: {date}
Message-ID: <weekly-7@walks.example>
List-Unsubscribe: <mailto:leave@walks.example>
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=\"=_alternative\"

--=_alternative
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Three walks, each over a footbridge – bring good shoes.
 1. Along the mill stream
 2. Über den Steg
 3. The long way round
--=_alternative
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<html><body><h1>Three walks</h1><p>each over a <b>footbridge</b> =E2=80=93 =
bring good shoes.</p><ol><li>Along the mill stream</li><li>=C3=9Cber den =
Steg</li><li>The long way round</li></ol></body></html>
--=_alternative--
";

const DOTS: &str = "\
From: cron <root@server.example>
To: {demo}
Subject: Lines that begin with a dot
Date: {date}
Message-ID: <dots-1@server.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=us-ascii

A line with nothing but a dot ends a message on its way, so dots are doubled
and undoubled. Here are some:
.
..
.profile
...and this is the end of the message, not the lines above.
";

const DRAFT: &str = "\
From: {demo}
To: office@printer.example
Subject: Your invoice
Date: {date}
Message-ID: <draft-1@footbridge.test>
MIME-Version: 1.0
Content-Type: text/plain; charset=us-ascii

Dear office,

the scan has one page, the invoice has
";

const JUNK: &str = "\
From: WINNER <prize@lottery.invalid>
To: undisclosed-recipients:;
Subject: You have won a bridge
Date: {date}
Message-ID: <1@lottery.invalid>
MIME-Version: 1.0
Content-Type: text/html; charset=us-ascii

<p>Send a small fee and the bridge is yours.</p>
";

const FORWARDED: &str = "\
From: Ines Marin <ines@garden.example>
To: {demo}
Subject: Fwd: Measurements
Date: {date}
Message-ID: <forward-1@garden.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: text/plain; charset=us-ascii

For your records.
--outer
Content-Type: message/rfc822
Content-Disposition: inline

From: surveyor@land.example
To: ines@garden.example
Subject: Measurements
Date: Mon, 2 Mar 2026 10:00:00 +0100
Message-ID: <measure-1@land.example>
Content-Type: text/plain; charset=us-ascii

The fence stands 40 cm on your side.
--outer--
";

const LATIN: &str = "\
From: =?iso-8859-1?Q?Stefan_M=FCller?= <stefan@kies.example>
To: {demo}
Subject: =?iso-8859-1?Q?Kies_f=FCr_den_Hof?=
Date: {date}
Message-ID: <kies-1@kies.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Zwei Tonnen sind genug, f=FCr drei ist der H=E4nger zu klein.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::entity::Entity;
    use crate::demo::header;

    #[test]
    fn every_sample_is_a_message_with_what_it_needs() {
        let store = store("2026-11-25T12:00:00Z".parse::<DateTime<FixedOffset>>().unwrap()).unwrap();
        let all: Vec<_> = store.folders().iter().flat_map(|folder| folder.messages()).collect();
        assert_eq!(all.len(), SAMPLES.len());
        for message in all {
            let entity = Entity::read(&message.octets);
            for name in ["From", "To", "Subject", "Date", "Message-ID"] {
                assert!(header::value(entity.header, name).is_some(), "{name}");
            }
            let date = String::from_utf8(header::value(entity.header, "Date").unwrap()).unwrap();
            assert!(DateTime::parse_from_rfc2822(&date).is_ok(), "{date}");
            assert!(!message.octets.windows(2).any(|pair| pair[0] != b'\r' && pair[1] == b'\n'));
        }
    }
}
