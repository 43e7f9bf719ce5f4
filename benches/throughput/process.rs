//! The end of a program that was started here.

use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

/// Tells a child of ours to end, and waits until it has; one that has ended already has nothing to hear.
pub fn end(child: &mut Child) {
    if let Some(id) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(id, Signal::TERM);
    }
    let _ = child.wait();
}
