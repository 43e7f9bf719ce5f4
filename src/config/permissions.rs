//! Who else may read a secret or change what is run: the one place that asks the operating system.
//!
//! Unix modes. On Windows a file in a user's profile is that user's by default, and nothing is asked.

use std::fs::Metadata;
use std::path::Path;

/// Whether a file with a secret can be read by others, or changed by its group.
///
/// The group may read: a service's own group is a usual way to hand a secret over.
#[cfg(unix)]
pub(super) fn others_may_read(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.mode() & 0o027 != 0
}

/// Nothing is asked here.
#[cfg(not(unix))]
pub(super) fn others_may_read(_: &Metadata) -> bool {
    false
}

/// That nobody but its owner can change a configuration that names a command, or put another in its place.
#[cfg(unix)]
pub(super) fn nobody_else_writes(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for place in [path, parent] {
        let Ok(metadata) = std::fs::metadata(place) else { continue }; // Text that stands in no file yet.
        let shown = place.display();
        if metadata.mode() & 0o022 != 0 {
            return Err(format!(
                "others may write to {shown}, so they could change the command that is run; run: chmod go-w {shown}"
            ));
        }
        let us = rustix::process::geteuid().as_raw();
        if metadata.uid() != 0 && metadata.uid() != us {
            return Err(format!(
                "{shown} belongs to another user, who could change the command that is run; make it yours"
            ));
        }
    }
    Ok(())
}

/// Nothing is asked here.
#[cfg(not(unix))]
pub(super) fn nobody_else_writes(_: &Path) -> Result<(), String> {
    Ok(())
}
