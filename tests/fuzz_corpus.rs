//! Every fuzz target once over its seeds, without a fuzzer: what the seeds have found stays mended.

#[path = "../fuzz/bodies/mod.rs"]
mod bodies;

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The names in a folder, without extension.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let stem = |path: PathBuf| path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
    entries.filter_map(|entry| stem(entry.expect("an entry").path())).collect()
}

#[test]
fn every_seed_passes() {
    let mut failed = Vec::new();
    for (name, body) in bodies::TARGETS {
        let mut seeds = 0;
        for entry in fs::read_dir(fuzz().join("seeds").join(name)).expect("seeds") {
            let path = entry.expect("an entry").path();
            let octets = fs::read(&path).expect("a seed");
            seeds += 1;
            if catch_unwind(|| body(&octets)).is_err() {
                failed.push(path);
            }
        }
        assert!(seeds > 0, "{name} has no seeds");
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_target_is_a_fuzz_target_with_seeds() {
    let targets = bodies::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(names(&fuzz().join("fuzz_targets")), targets);
    assert_eq!(names(&fuzz().join("seeds")), targets);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("fuzz/Cargo.toml");
    for name in &targets {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not built");
        let target = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).expect("a target");
        assert!(target.contains(&format!("bodies::body(\"{name}\")(input)")), "{name} runs another body");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), targets.len());
}

#[test]
#[should_panic(expected = "no CRLF")]
fn a_body_can_fail() {
    bodies::assert_reply_line(b"+OK");
}

/// A body that never gets past the first check asserts nothing.
#[test]
fn good_seeds_get_to_where_something_is_taken() {
    use footbridge::auth::oauth::redirect::{self, Redirected};
    use footbridge::auth::password::{Verdict, judged_by};
    use footbridge::mail::Secret;

    let seed = |path: &str| fs::read(fuzz().join("seeds").join(path)).expect("a seed");
    let text = |path: &str| String::from_utf8(seed(path)).expect("text");

    let opened = footbridge::auth::vault::opened_with(b"the material of fuzzing", &seed("vault/sealed"));
    assert_eq!(
        opened.expect("a vault").escape_ascii().to_string(),
        text("vault/entries").replace('"', "\\\"")
    );

    let right = Secret::new("aaaa-bbbb-cccc-dddd-eeee-ffff-aa");
    let (_, verdict) = judged_by(&seed("bridge_passwords/right"), "ana", &right).expect("a file of ours");
    assert_eq!(verdict, Verdict::Right);

    let state = Secret::new("0ur-State_7");
    for (name, code) in [("code", true), ("pasted", true), ("refused", false)] {
        let line = text(&format!("oauth_redirect/{name}"));
        let query = redirect::pasted(line.lines().next().expect("a line")).expect("a query");
        let redirected = redirect::read(query, &state).expect("our state");
        assert_eq!(matches!(redirected, Redirected::Code(_)), code, "{name}");
    }

    let said = footbridge::upstream::challenge_says(&seed("sasl_challenge/google-base64"));
    let words = "status 401, scope https://mail.google.com/, schemes bearer mac";
    assert_eq!(said, Some((words.to_owned(), false)));

    // The seed is in the order of octets of most machines.
    #[cfg(all(target_os = "linux", target_endian = "little"))]
    {
        let [app, ours] = ["127.0.0.1:40000", "127.0.0.1:1143"].map(|end| end.parse().expect("an address"));
        for name in ["ipv4", "ipv4-in-ipv6"] {
            let answer = seed(&format!("peer_answer/{name}"));
            assert_eq!(footbridge::net::peer::in_answer(&answer, app, ours).ok(), Some(Some(1001)), "{name}");
        }
        let table =
            text("peer_table/ipv4").replace("APP4", "0100007F:9C40").replace("OURS4", "0100007F:0477");
        let found = footbridge::net::peer::in_table(table.as_bytes(), app, ours);
        assert_eq!(found.ok(), Some(Some(1001)));
    }
}
