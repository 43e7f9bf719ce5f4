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
    let mut driver = driver(&[DRIVER, prompt, answer], command);
    let output = driver.stdin(Stdio::null()).output().expect("python3 is installed; tests/run installs it");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let (head, screen) = told
        .split_once('\n')
        .unwrap_or_else(|| panic!("the terminal broke: {told}{}", String::from_utf8_lossy(&output.stderr)));
    let (code, echo) = head.split_once(' ').expect("two numbers");
    Seen { code: code.parse().expect("a number"), echoes: echo == "1", screen: screen.to_owned() }
}

/// Runs the program on a terminal of its own and writes what is shown there, without its colours, to standard error.
/// On SIGUSR1 it closes the terminal, as a window is closed, and sends SIGHUP as a shell does then to its jobs; it
/// ends with the program and by its exit code.
const WINDOW: &str = r#"
import os, pty, re, select, signal, sys
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
woken, wake = os.pipe()
os.set_blocking(wake, False)
signal.set_wakeup_fd(wake)
signal.signal(signal.SIGUSR1, lambda *_: None)
line = b""
while woken not in select.select([terminal, woken], [], [])[0]:
    try:
        line += os.read(terminal, 4096)
    except OSError:
        break
    *whole, line = line.split(b"\n")
    for one in whole:
        os.write(2, re.sub(rb"\x1b\[[0-9;]*m", b"", one) + b"\n")
os.close(terminal)
os.kill(child, signal.SIGHUP)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(code if code >= 0 else 128 - code)
"#;

/// A command that runs this one on a terminal of its own, whose end SIGUSR1 brings about.
pub fn window(command: &Command) -> Command {
    driver(&[WINDOW], command)
}

/// python3 with a script and its arguments, behind which the command comes.
fn driver(script: &[&str], command: &Command) -> Command {
    let mut driver = Command::new("python3");
    driver.arg("-c").args(script).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => driver.env(name, value),
            None => driver.env_remove(name),
        };
    }
    driver
}
