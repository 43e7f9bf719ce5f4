//! Where the configuration and the state are when nobody says.

use std::path::PathBuf;

const NAME: &str = "footbridge/footbridge.toml";

/// The state folder; `None` where the environment names no home.
pub(super) fn state() -> Option<PathBuf> {
    state_in(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

/// `$XDG_STATE_HOME`, `~/.local/state` where that is not set.
#[cfg(not(any(windows, target_os = "macos")))]
fn state_in(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let xdg = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let user = xdg.or_else(|| variable("HOME").map(|home| home.join(".local/state")));
    user.map(|folder| folder.join("footbridge"))
}

/// Beside the configuration, in a folder of its own, which only its user may enter.
#[cfg(target_os = "macos")]
fn state_in(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("HOME").map(|home| home.join("Library/Application Support/footbridge/state"))
}

/// `%LOCALAPPDATA%`: it stays on this machine.
#[cfg(windows)]
fn state_in(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("LOCALAPPDATA").map(|folder| folder.join("footbridge").join("state"))
}

/// The first of the usual places that has a file, or a sentence that names them.
pub(super) fn usual() -> Result<PathBuf, String> {
    let places = places(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from));
    let found = places.iter().find(|place| place.is_file()).cloned();
    found.ok_or_else(|| {
        let places = places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(" nor ");
        format!("there is no configuration, neither {places}; write one or name it with --config FILE")
    })
}

/// `$XDG_CONFIG_HOME`, `~/.config` where that is not set, then `/etc`.
#[cfg(not(any(windows, target_os = "macos")))]
fn places(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    // The XDG base directory specification has relative paths ignored.
    let xdg = variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let user = xdg.or_else(|| variable("HOME").map(|home| home.join(".config")));
    user.into_iter().chain([PathBuf::from("/etc")]).map(|folder| folder.join(NAME)).collect()
}

/// `~/Library/Application Support`, then `/etc`.
#[cfg(target_os = "macos")]
fn places(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let user = variable("HOME").map(|home| home.join("Library/Application Support"));
    user.into_iter().chain([PathBuf::from("/etc")]).map(|folder| folder.join(NAME)).collect()
}

/// `%APPDATA%`, then `%PROGRAMDATA%`.
#[cfg(windows)]
fn places(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let folders = [variable("APPDATA"), variable("PROGRAMDATA")];
    folders.into_iter().flatten().map(|folder| folder.join(NAME)).collect()
}

#[cfg(all(test, not(any(windows, target_os = "macos"))))]
mod tests {
    use super::*;

    #[test]
    fn the_state_stays_in_the_users_home() {
        let found = |pairs: &'static [(&str, &str)]| {
            state_in(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
        };
        assert_eq!(found(&[]), None);
        let home = Some(PathBuf::from("/h/.local/state/footbridge"));
        assert_eq!(found(&[("HOME", "/h")]), home);
        assert_eq!(found(&[("HOME", "/h"), ("XDG_STATE_HOME", "relative")]), home);
        assert_eq!(found(&[("HOME", "/h"), ("XDG_STATE_HOME", "/x")]), Some(PathBuf::from("/x/footbridge")));
    }

    #[test]
    fn the_users_place_comes_before_etc() {
        let found = |pairs: &'static [(&str, &str)]| {
            places(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
        };
        let etc = PathBuf::from("/etc/footbridge/footbridge.toml");
        assert_eq!(found(&[]), std::slice::from_ref(&etc));
        let dot_config = PathBuf::from("/h/.config/footbridge/footbridge.toml");
        assert_eq!(found(&[("HOME", "/h")]), [dot_config.clone(), etc.clone()]);
        assert_eq!(found(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "relative")]), [dot_config, etc.clone()]);
        let xdg = PathBuf::from("/x/footbridge/footbridge.toml");
        assert_eq!(found(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]), [xdg, etc]);
    }
}
