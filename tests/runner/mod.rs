//! The runner's own tests: a transcript that must fail does fail, and says where.

use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::scripted::Upstream;
use crate::support::transcript::play::{Writes, play_against};
use crate::support::transcript::script::{self, Script};
use crate::support::transcript::text::{Text, Variables};
use crate::{Test, on_a_runtime};

/// What a toy that greets, answers `+OK you said LINE`, and closes after QUIT would say.
const RIGHT: &str = "S: +OK toy\nC: a\nS: +OK you said a\nC: QUIT\nS: +OK ...\nS: <closed>\n";

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    let mut add = |name: &str, run: fn() -> Result<(), String>| {
        tests.push(Test { name: format!("runner/{name}"), run: Box::new(run) });
    };
    add("right-passes", || outcome(RIGHT));
    add("wrong-answer-fails", || fails("S: +OK toy\nC: a\nS: -ERR\n", "self:3", "heard +OK you said a"));
    add("missing-answer-fails", || {
        fails("S: +OK toy\nC: QUIT\nS: +OK ...\nS: more\n", "self:4", "heard the end")
    });
    add("unheard-answer-fails", || fails("S: +OK toy\nC: a\n", "self:2", "after the last line"));
    add("open-connection-fails-closed", || {
        fails("S: +OK toy\nC: a\nS: <closed>\n", "self:3", "expected the end")
    });
    add("wrong-octets-fail", || fails("S> +OK tow\n", "self:1", "heard +OK toy"));
    add("unknown-key-is-refused", || fails("wibble: 1\n", "self:1", "no key"));
    add("text-matches", text_matches);
    add("text-renders", text_renders);
    tests
}

fn outcome(text: &str) -> Result<(), String> {
    let mut script = Script { protocol: "pop3".into(), ..Script::default() };
    script::take(&mut script, "self", text, Path::new("/nowhere")).map_err(|failure| failure.to_string())?;
    on_a_runtime(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(toy(listener));
        let upstream = Upstream::good().await;
        play_against(&script, address, upstream, CancellationToken::new(), Writes::Whole)
            .await
            .map_err(|failure| failure.to_string())
    })
}

fn fails(text: &str, place: &str, what: &str) -> Result<(), String> {
    match outcome(text) {
        Ok(()) => Err("it passed".into()),
        Err(said) if said.starts_with(place) && said.contains(what) => Ok(()),
        Err(said) => Err(format!("it failed with {said}")),
    }
}

async fn toy(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let (reading, mut writing) = stream.split();
        let mut lines = BufReader::new(reading).lines();
        let _ = writing.write_all(b"+OK toy\r\n").await;
        while let Ok(Some(line)) = lines.next_line().await {
            let _ = writing.write_all(format!("+OK you said {line}\r\n").as_bytes()).await;
            if line == "QUIT" {
                break;
            }
        }
    }
}

fn text_matches() -> Result<(), String> {
    let cases: [(&str, &[u8], bool); 9] = [
        ("+OK ...", b"+OK two messages", true),
        ("+OK ...", b"-ERR", false),
        (r"$t UID STORE 12 +FLAGS.SILENT (\Deleted)", br"B1 UID STORE 12 +FLAGS.SILENT (\Deleted)", true),
        ("$t A $t", b"B1 A B1", true),
        ("$t A $t", b"B1 A B2", false),
        (r"\0\x80\.\.\.", b"\0\x80...", true),
        (r"\.\.\.", b"abc", false),
        ("{=ab}c", b"{2}\r\nabc", true),
        ("{*3:ab}", b"ababab", true),
    ];
    for (text, line, expected) in cases {
        if Text::parse(text)?.matches(line, &mut Variables::new()) != expected {
            return Err(format!("{text} against {line:?}: not {expected}"));
        }
    }
    Ok(())
}

fn text_renders() -> Result<(), String> {
    let values = Variables::from([("t".to_owned(), b"B7".to_vec())]);
    let rendered = Text::parse("$t ... {={*2:a\\r\\n}}) $X")?.render(&values)?;
    match rendered.as_slice() {
        b"B7 ... {6}\r\na\r\na\r\n) $X" => Ok(()),
        other => Err(format!("{other:?}")),
    }
}
