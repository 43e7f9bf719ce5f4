//! The arrows between the rooms, as the table at the head of src/lib.rs draws them, hold in the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder`, but what is built or belongs to git.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match path.is_dir() {
            _ if name == "target" || name == ".git" => {}
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// Room to rooms it may use; `None` stands for all.
fn table() -> BTreeMap<String, Option<BTreeSet<String>>> {
    let map = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let rows = map.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("//! | [`")?.split(" | ");
        let room = cells.next()?.strip_suffix("`]")?;
        let may = cells.nth(1)?.trim_end_matches('|').trim();
        let rooms = may.split(", ").filter(|room| !room.is_empty()).map(str::to_owned).collect();
        Some((room.to_owned(), (may != "everything at the door").then_some(rooms)))
    });
    rows.collect()
}

/// The part of a source that is built into the program: no comments, no tests.
fn built(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Modules that stand in files of their own and are built for tests only.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let folder = match path.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") => path.parent().expect("a folder").to_owned(),
        _ => path.with_extension(""),
    };
    let mut found = Vec::new();
    for rest in text.split("#[cfg(test)]\n").skip(1) {
        let line = rest.lines().next().unwrap_or_default().trim();
        if let Some(name) =
            line.trim_start_matches("pub ").strip_prefix("mod ").and_then(|name| name.strip_suffix(';'))
        {
            found.extend([folder.join(format!("{name}.rs")), folder.join(name)]);
        }
    }
    found
}

/// The rooms named behind each `crate::`, also in braces.
fn rooms_used(text: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut used = BTreeSet::new();
    for rest in text.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            used.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = 0;
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    used.insert(word(list[start..at].trim()));
                    start = at + 1;
                    if c == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    used.remove("");
    used
}

#[test]
fn the_parts_of_this_test_see_what_they_look_for() {
    let rooms = |text| rooms_used(text).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(rooms("use crate::mail::{Account, Uid};\nfn f() { crate::net::x() }"), "mail net");
    assert_eq!(rooms("use crate::{\n    config::{self, Settings},\n    net,\n};"), "config net");
    assert_eq!(built("use a;\n// crate::b\n#[cfg(test)]\nmod tests {\n use crate::c;\n}"), "use a;");
    assert!(table().len() >= 12, "{:?}", table());
    assert!(begins_a_path("x = \"/srv/a\"", "/srv/") && !begins_a_path("FOLDER/srv/a", "/srv/"));
}

#[test]
fn every_arrow_points_the_way_it_may() {
    let table = table();
    let sources = files(&root().join("src"));
    let read = |path: &Path| fs::read_to_string(path).expect("UTF-8");
    let tests_only = sources.iter().flat_map(|path| test_modules(path, &read(path))).collect::<Vec<_>>();
    let mut wrong = Vec::new();
    for path in sources.iter().filter(|path| !tests_only.iter().any(|tests| path.starts_with(tests))) {
        let inside = path.strip_prefix(root().join("src")).expect("below src");
        let mut parts = inside.iter().filter_map(|part| part.to_str());
        let room = parts.next().expect("a name").trim_end_matches(".rs");
        if matches!(room, "main" | "lib") {
            continue;
        }
        let may = table.get(room).unwrap_or_else(|| panic!("the table in src/lib.rs has no room {room}"));
        let text = built(&read(path));
        for used in rooms_used(&text).into_iter().filter(|used| used != room) {
            if may.as_ref().is_some_and(|may| !may.contains(&used)) {
                wrong.push(format!("{}: {room} may not use {used}", inside.display()));
            }
        }
        // `super` as often as the module is deep comes out at the crate's root, past the table.
        let deep = inside.components().count() - usize::from(inside.ends_with("mod.rs"));
        if text.contains(&"super::".repeat(deep)) {
            wrong.push(format!("{}: leaves its room by super", inside.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_arrows_make_no_circle() {
    let mut left = table();
    for (room, may) in &mut left {
        // Whoever may use everything stands at the door: nobody may use it.
        may.get_or_insert_default().remove(room);
    }
    while !left.is_empty() {
        let rooms = left.keys().cloned().collect::<BTreeSet<_>>();
        let done = |(_, may): &(&String, &Option<BTreeSet<String>>)| {
            may.as_ref().is_none_or(|may| may.is_disjoint(&rooms))
        };
        let lowest = left.iter().find(done).map(|(room, _)| room.clone());
        left.remove(&lowest.unwrap_or_else(|| panic!("a circle among {rooms:?}")));
    }
}

#[test]
fn every_room_has_its_row_and_every_row_its_room() {
    let entries = fs::read_dir(root().join("src")).expect("src").map(|entry| entry.expect("an entry").path());
    let stem = |path: PathBuf| path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
    let rooms =
        entries.filter_map(stem).filter(|room| room != "main" && room != "lib").collect::<BTreeSet<_>>();
    let table = table();
    assert_eq!(rooms, table.keys().cloned().collect());
    for used in table.values().flatten().flatten() {
        assert!(rooms.contains(used), "the table names a room {used} that is not there");
    }
}

/// Whether `text` has a path that begins so: behind a name, `FOLDER/...`, it goes on and begins elsewhere.
fn begins_a_path(text: &str, beginning: &str) -> bool {
    let in_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '}' | '.');
    text.match_indices(beginning).any(|(at, _)| !text[..at].ends_with(in_name))
}

#[test]
fn no_file_knows_where_it_was_written() {
    // In two halves, so that this file does not hold what it looks for.
    let homes = [["/ho", "me/"], ["/ro", "ot/"], ["/Us", "ers/"], ["/wo", "rk/"], ["\\Us", "ers\\"]]
        .map(|halves| halves.concat());
    let mut wrong = Vec::new();
    for path in files(root()) {
        let Ok(text) = fs::read_to_string(&path) else { continue }; // Not text.
        let inside = path.strip_prefix(root()).expect("below the root");
        let climbs_out = "../".repeat(inside.components().count());
        for found in homes.iter().chain([&climbs_out]).filter(|found| begins_a_path(&text, found)) {
            wrong.push(format!("{}: {found}", inside.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
