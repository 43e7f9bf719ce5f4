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
