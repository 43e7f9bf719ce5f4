//! Reads a secret that is kept on this machine. What goes wrong is said in one clause without the secret.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use zeroize::Zeroizing;

use crate::mail::Secret;
use crate::mail::account::SecretSource;

/// The longest first line; tokens of providers have some 2,500 octets.
const LONGEST: usize = 4096;

/// A file that does not answer is on a network, or is no file.
const FILE_DEADLINE: Duration = Duration::from_secs(10);

/// A program that asks its user has this long; apps wait 30 to 60 seconds for the answer to a login.
const COMMAND_DEADLINE: Duration = Duration::from_secs(25);

/// What a variable, a file or a command gives; `None` for the other sources.
pub(crate) async fn given(source: &SecretSource) -> Result<Option<Secret>, String> {
    match source {
        SecretSource::App | SecretSource::Vault => Ok(None),
        SecretSource::Env { secret, .. } => Ok(Some(secret.clone())),
        SecretSource::File(path) => from_file(path).await.map(Some),
        SecretSource::Command(command) => from_command(command, COMMAND_DEADLINE).await.map(Some),
    }
}

/// The first line of a file.
async fn from_file(path: &Path) -> Result<Secret, String> {
    let shown = path.display().to_string();
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read(&path));
    match tokio::time::timeout(FILE_DEADLINE, read).await {
        Ok(Ok(Ok(octets))) => first_line(&octets, &format!("the file {shown}")),
        Ok(Ok(Err(error))) => Err(format!("the file {shown} cannot be read: {error}")),
        Ok(Err(_)) | Err(_) => Err(format!("the file {shown} cannot be read in time")),
    }
}

fn read(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    use std::io::Read;
    // Room for all of it at once: a vector that grows leaves copies behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(LONGEST + 2));
    std::fs::File::open(path)?.take(LONGEST as u64 + 2).read_to_end(&mut octets)?;
    Ok(octets)
}

/// The first line that a program prints. It gets no input; what it says on standard error is not shown.
async fn from_command(command: &[String], deadline: Duration) -> Result<Secret, String> {
    let Some((program, arguments)) = command.split_first() else {
        return Err("no command is named".to_owned());
    };
    match tokio::time::timeout(deadline, run(program, arguments)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("the command {program} did not end within {} seconds", deadline.as_secs())),
    }
}

/// Dropped, it kills the program.
async fn run(program: &str, arguments: &[String]) -> Result<Secret, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("the command {program} cannot be started: {error}"))?;
    let mut octets = Zeroizing::new(Vec::with_capacity(LONGEST + 2));
    if let Some(output) = child.stdout.take() {
        let read = output.take(LONGEST as u64 + 2).read_to_end(&mut octets).await;
        read.map_err(|error| format!("what the command {program} prints cannot be read: {error}"))?;
    }
    let ended = child.wait().await.map_err(|error| format!("the command {program} was lost: {error}"))?;
    if !ended.success() {
        return Err(format!("the command {program} failed ({ended})"));
    }
    first_line(&octets, &format!("the output of the command {program}"))
}

/// Without its line end; NUL can be in no password that a protocol carries.
fn first_line(octets: &[u8], place: &str) -> Result<Secret, String> {
    let line = octets.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line); // Windows editors put it before UTF-8.
    if line.is_empty() {
        return Err(format!("the first line of {place} is empty"));
    }
    if line.len() > LONGEST || line.contains(&0) || line.contains(&b'\r') {
        return Err(format!(
            "the first line of {place} is no password: it is too long, or has control characters"
        ));
    }
    Ok(Secret::new(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(octets: &[u8]) -> Result<Vec<u8>, String> {
        first_line(octets, "it").map(|secret| secret.expose().to_vec())
    }

    #[test]
    fn the_first_line_without_its_end() {
        assert_eq!(line(b"pass word \r\nsecond").as_deref(), Ok(b"pass word ".as_slice()));
        assert_eq!(line(b"p\xc3\xa4ss").as_deref(), Ok(b"p\xc3\xa4ss".as_slice()));
        assert_eq!(line(b"\xef\xbb\xbfx\n").as_deref(), Ok(b"x".as_slice()));
        for wrong in [b"".as_slice(), b"\nx", b"\r\n", b"a\0b", b"a\rb\n", &[b'x'; LONGEST + 1]] {
            assert!(line(wrong).is_err());
        }
        assert!(line(&[b'x'; LONGEST]).is_ok());
    }

    #[tokio::test]
    async fn a_file_is_read_each_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        assert!(from_file(&path).await.unwrap_err().contains("cannot be read"));
        for text in ["one\n", "two"] {
            std::fs::write(&path, text).expect("written");
            assert_eq!(from_file(&path).await.expect("read").expose(), text.trim_end().as_bytes());
        }
    }

    #[cfg(unix)]
    mod commands {
        use super::*;

        async fn shell(script: &str) -> Result<Vec<u8>, String> {
            let command = ["sh", "-c", script].map(str::to_owned);
            from_command(&command, Duration::from_secs(20)).await.map(|secret| secret.expose().to_vec())
        }

        #[tokio::test]
        async fn its_first_line_is_taken_and_its_input_is_empty() {
            assert_eq!(shell("echo CANARY; echo second").await.as_deref(), Ok(b"CANARY".as_slice()));
            assert_eq!(shell("cat; echo x").await.as_deref(), Ok(b"x".as_slice()));
        }

        #[tokio::test]
        async fn no_fault_quotes_what_it_printed_or_its_arguments() {
            for script in
                ["echo CANARY; exit 3", "echo CANARY >&2; exit 1", "printf 'CANARY\\0'", "true # CANARY"]
            {
                let fault = shell(script).await.expect_err(script);
                assert!(!fault.contains("CANARY"), "{fault}");
            }
            let fault = shell("exit 3").await.expect_err("failed");
            assert!(fault.contains("sh") && fault.contains('3'), "{fault}");
            let fault = from_command(&["/no/such/program".to_owned()], Duration::from_secs(20)).await;
            assert!(fault.expect_err("no program").contains("cannot be started"));
        }

        #[tokio::test]
        async fn endless_output_is_cut_off() {
            assert!(shell("yes x | tr -d '\\n'").await.is_err());
        }

        #[tokio::test]
        async fn one_that_does_not_end_is_a_fault() {
            let command = ["sleep", "1000"].map(str::to_owned);
            let fault = from_command(&command, Duration::from_millis(1)).await.expect_err("late");
            assert!(fault.contains("sleep did not end"), "{fault}");
        }

        #[tokio::test]
        async fn giving_up_kills_it() {
            use std::io::Read;
            let folder = tempfile::tempdir().expect("a folder");
            let pipe = folder.path().join("pipe");
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
            let script = format!("exec 3>'{}'; echo started >&3; exec sleep 1000", pipe.display());
            let arguments = ["-c".to_owned(), script];
            let mut running = Box::pin(run("sh", &arguments));
            let opened = tokio::task::spawn_blocking(move || {
                let mut pipe = std::fs::File::open(pipe)?;
                pipe.read_exact(&mut [0; 8]).map(|()| pipe)
            });
            let mut pipe = tokio::select! {
                opened = opened => opened.expect("no panic").expect("started"),
                _ = &mut running => panic!("it ended"),
            };
            drop(running);
            // The pipe ends when the last process that holds it is gone.
            let rest = tokio::task::spawn_blocking(move || pipe.read(&mut [0; 8]));
            assert_eq!(rest.await.expect("no panic").expect("read"), 0);
        }
    }
}
