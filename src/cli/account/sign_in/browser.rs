//! The one door to a browser on this machine.

use std::ffi::OsString;
use std::process::{Command, Stdio};

/// Opens web addresses.
pub(super) struct Browser {
    program: &'static str,
    arguments: &'static [&'static str],
}

impl Browser {
    /// The one of whoever runs this; `None` where there is no screen, or where a browser would run as the system's
    /// administrator.
    pub(super) fn of_this_machine() -> Option<Self> {
        Self::of(is_administrator(), |name| std::env::var_os(name))
    }

    #[cfg(not(any(windows, target_os = "macos")))]
    fn of(is_administrator: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let has_screen = ["WAYLAND_DISPLAY", "DISPLAY"]
            .iter()
            .any(|name| variable(name).is_some_and(|value| !value.is_empty()));
        (has_screen && !is_administrator).then_some(Self { program: "xdg-open", arguments: &[] })
    }

    #[cfg(target_os = "macos")]
    fn of(is_administrator: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let far_away = variable("SSH_CONNECTION").is_some();
        (!is_administrator && !far_away).then_some(Self { program: "open", arguments: &[] })
    }

    #[cfg(windows)]
    fn of(is_administrator: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let far_away = variable("SSH_CONNECTION").is_some();
        let arguments = &["url.dll,FileProtocolHandler"];
        (!is_administrator && !far_away).then_some(Self { program: "rundll32", arguments })
    }

    /// Whether a program for it was started. The address holds no secret: state and challenge are good for nothing
    /// without the verifier, which stays in this process.
    pub(super) fn open(&self, url: &str) -> bool {
        let mut command = self.command(url);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C ends this program, not the browser.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn().is_ok()
    }

    fn command(&self, url: &str) -> Command {
        let mut command = Command::new(self.program);
        command.args(self.arguments).arg(url);
        command
    }
}

#[cfg(unix)]
fn is_administrator() -> bool {
    rustix::process::geteuid().is_root()
}

/// There it is the same desktop.
#[cfg(not(unix))]
fn is_administrator() -> bool {
    false
}

#[cfg(all(test, not(any(windows, target_os = "macos"))))]
mod tests {
    use super::*;

    fn found(is_administrator: bool, variables: &[(&str, &str)]) -> bool {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        Browser::of(is_administrator, variable).is_some()
    }

    #[test]
    fn there_is_one_where_there_is_a_screen_and_never_for_root() {
        for screen in [("DISPLAY", ":0"), ("WAYLAND_DISPLAY", "wayland-0")] {
            assert!(found(false, &[screen]) && !found(true, &[screen]), "{screen:?}");
        }
        assert!(!found(false, &[]) && !found(false, &[("DISPLAY", "")]));
    }

    /// No shell reads it, whatever is in it.
    #[test]
    fn the_address_is_one_argument() {
        let browser = Browser { program: "xdg-open", arguments: &[] };
        let url = "https://example.org/?a=b&c=$(d) 'e'";
        assert!(browser.command(url).get_args().eq([url]));
    }

    #[test]
    fn a_machine_without_the_program_opens_nothing() {
        let browser = Browser { program: "footbridge-no-such-program", arguments: &[] };
        assert!(!browser.open("https://example.org/"));
    }
}
