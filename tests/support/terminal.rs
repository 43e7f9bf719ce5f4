//! A terminal for a program that asks a person, so that what is shown there can be seen.

use std::process::{Command, Stdio};

/// Runs the program on a terminal of its own, answers when `prompt` has been shown, ends the program by Ctrl-C where
/// the answer is that. Prints `CODE ECHO`, then all that was on the screen; ECHO is 1 where the terminal echoes again.
const DRIVER: &str = r#"
import os, pty, sys, termios
prompt, answer, *command = sys.argv[1:]
child, terminal = pty.fork()
if child == 0:
    os.execv(command[0], command)
screen, answered = b"", False
while True:
    if not answered and prompt.encode() in screen:
        # Whatever is echoed, is echoed before the program reads it: echo has to be off by now.
        while termios.tcgetattr(terminal)[3] & termios.ECHO:
            os.sched_yield()
        os.write(terminal, b"\x03" if answer == "^C" else answer.encode() + b"\n")
        answered = True
    try:
        octets = os.read(terminal, 4096)
    except OSError:
        break
    if not octets:
        break
    screen += octets
echo = 1 if termios.tcgetattr(terminal)[3] & termios.ECHO else 0
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), echo)
sys.stdout.flush()
sys.stdout.buffer.write(screen)
"#;

/// What was seen.
pub struct Seen {
    /// The program's exit code, less than 0 for a signal.
    pub code: i32,
    /// Whether the terminal echoes what is typed, at the end.
    pub echoes: bool,
    /// All that was shown.
    pub screen: String,
}

/// Runs a program on a terminal and types `answer` (`^C` for that key) when it has shown `prompt`.
///
/// # Panics
/// Where there is no python3, or the program does not start.
pub fn run(command: &Command, prompt: &str, answer: &str) -> Seen {
    let mut driver = Command::new("python3");
    driver.args(["-c", DRIVER, prompt, answer]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => driver.env(name, value),
            None => driver.env_remove(name),
        };
    }
    let output = driver.stdin(Stdio::null()).output().expect("python3 is installed; tests/run installs it");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let (head, screen) = told
        .split_once('\n')
        .unwrap_or_else(|| panic!("the terminal broke: {told}{}", String::from_utf8_lossy(&output.stderr)));
    let (code, echo) = head.split_once(' ').expect("two numbers");
    Seen { code: code.parse().expect("a number"), echoes: echo == "1", screen: screen.to_owned() }
}
